"""FSAF: Feature Selective Anchor-Free Module for Single-Shot Object Detection (Zhu et al., 2019).

A feature pyramid sees an object at several resolutions; which of them should learn it? RetinaNet
decides by size, through the anchors that overlap it. FSAF offers each object to all levels: at
every level the cells in the core of its box predict class and distances to the four edges, and
only the level whose loss is smallest for the object now gets its gradient. At test time all levels
predict, and the best should be the most confident.

https://arxiv.org/abs/1903.00621. The authors' code was not found; where the paper is silent, FSAFHead of
https://github.com/open-mmlab/mmdetection decides. Differences to the paper: the focal loss that
chooses the level sums all classes, in the shadow of an object is its core itself (no band without loss,
`negative_scale=0.5` for the paper's), sums are divided by the cells that are left after
the choice, and overlaps are of boxes in pixels. `head='joint'` is the paper's best model: both kinds of
prediction from the same towers.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsep.algorithms.detections import detect
from jaxsep.data.augment import to_float
from jaxsep.data.box_augment import flip
from jaxsep.losses.dense_detection import retina_losses
from jaxsep.losses.fsaf import fsaf_loss, random_levels
from jaxsep.method import Method
from jaxsep.models.encoders import apply_train, init_model
from jaxsep.models.fpn import EXTRA, FeaturePyramid, make_maps
from jaxsep.models.retina import Branch, RetinaHead, RetinaNet
from jaxsep.ops import anchors as priors_ops
from jaxsep.ops import box_assignment, devices
from jaxsep.ops import boxes as box_ops

HEADS = {'anchors': ('anchors',), 'anchor_free': ('free',), 'joint': ('anchors', 'free')}
CHOICES = ('online', 'heuristic', 'random')


def make(
    *,
    num_classes: int,
    label: str = 'true_classes',
    head: str = 'anchor_free',
    level_choice: str = 'online',
    backbone: Mapping = {'name': 'resnet50'},  # noqa: B006
    num_levels: int = 5,
    extra_levels: str = 'on_input',
    width: int = 256,
    depth: int = 4,
    deviation: float = 0.01,
    groups: int = 0,
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    base_scale: float = 4.0,
    scales_per_octave: int = 3,
    positive_iou: float = 0.5,
    negative_iou: float = 0.4,
    positive_scale: float = 0.2,
    negative_scale: float = 0.2,
    foreground_dominates: bool = False,
    heuristic: tuple[int, float] = (2, 224.0),
    free_weight: float = 0.5,
    flip_probability: float = 0.5,
    max_detections: int = 100,
    score_threshold: float = 0.05,
    candidates: int = 1000,
    nms_threshold: float = 0.5,
    axis_name: str | None = None,
) -> Method:
    """FSAF, or its RetinaNet, as a Method for `image` with `true_boxes` and classes (-1 at padding).

    Outputs `boxes` [b, n, 4] in pixels, `scores` [b, n] and `classes` [b, n], best first. Metrics:
    `class_loss`, `box_loss`; of anchor-free heads `level`, the mean level that objects are learnt
    at, and `level_changed`, the share of objects for which it is not the level of the heuristic.

    Args:
      num_classes: a fact of the column `label`.
      head: 'anchor_free', 'anchors' (RetinaNet) or 'joint'.
      level_choice: 'online', the paper's; 'heuristic', by size; 'random', drawn anew for each
        object in each step among the levels where it has cells.
      backbone: name and options for `jaxsep.models.fpn.make_maps`.
      num_levels: of the pyramid; extra_levels: where those beyond the backbone's come from,
        'on_input' or 'on_output'.
      width, depth: of pyramid and towers, 256 and 4 in RetinaNet.
      deviation, groups: see `jaxsep.models.retina.RetinaHead`.
      ratios, base_scale, scales_per_octave: of the anchors, see `jaxsep.ops.anchors`.
      positive_iou, negative_iou: of anchors, see `jaxsep.ops.box_assignment.max_iou_assign`.
      positive_scale, negative_scale: cores and shadows, 0.2 and 0.5 in the paper, 0.2 and 0.2 in the
        code; foreground_dominates: see `jaxsep.ops.box_assignment.center_region_assign`.
      heuristic: (l0, s0), level l0 begins at boxes with sqrt(w h) = s0, the next at twice that.
      free_weight: lambda, of the anchor-free loss in the joint model.
      flip_probability: of mirroring a training image.
      max_detections, score_threshold, candidates, nms_threshold: see `jaxsep.algorithms.detections`.
    """
    if head not in HEADS:
        raise ValueError(f'head: expected one of {tuple(HEADS)}, got {head!r}')
    if level_choice not in CHOICES:
        raise ValueError(f'level_choice: expected one of {CHOICES}, got {level_choice!r}')
    if extra_levels not in EXTRA:
        raise ValueError(f'extra_levels: expected one of {EXTRA}, got {extra_levels!r}')
    if min(num_classes, width, max_detections, candidates) < 1 or depth < 0:
        raise ValueError(
            'num_classes, width, max_detections, candidates, depth: expected positive numbers, '
            f'got {num_classes}, {width}, {max_detections}, {candidates}, {depth}'
        )
    if groups < 0 or (groups and width % groups):
        raise ValueError(f'groups: expected a divisor of the width {width} or 0, got {groups}')
    if not 0 < positive_scale <= negative_scale:
        raise ValueError(
            'positive_scale, negative_scale: expected 0 < positive_scale <= negative_scale, '
            f'got {positive_scale}, {negative_scale}'
        )
    if not 0 <= negative_iou <= positive_iou <= 1:
        raise ValueError(
            'negative_iou, positive_iou: expected 0 <= negative_iou <= positive_iou <= 1, '
            f'got {negative_iou}, {positive_iou}'
        )
    if not 0 <= flip_probability <= 1 or not 0 <= nms_threshold <= 1:
        raise ValueError(
            'flip_probability, nms_threshold: expected numbers from 0 to 1, '
            f'got {flip_probability}, {nms_threshold}'
        )
    if heuristic[1] <= 0:
        raise ValueError(f'heuristic: expected a level and a positive size, got {heuristic}')
    maps = make_maps(**backbone, axis_name=axis_name)
    if num_levels < maps.levels:
        raise ValueError(f'num_levels: expected at least {maps.levels}, got {num_levels}')
    further = num_levels - maps.levels
    strides = (*maps.strides, *(maps.strides[-1] * 2**k for k in range(1, further + 1)))
    boxes_of_cell = dict(
        anchors=dict(ratios=ratios, base_scale=base_scale, scales_per_octave=scales_per_octave),
        free=dict(ratios=(1.0,), base_scale=1.0, scales_per_octave=1),
    )
    priors_ops.anchors((1, 1), 1, **boxes_of_cell['anchors'])  # names what is wrong
    branches = {
        'anchors': Branch('anchors', len(ratios) * scales_per_octave),
        'free': Branch('free', 1, box_bias=0.25),
    }
    model = RetinaNet(
        maps,
        FeaturePyramid(width, num_levels, extra_levels),
        RetinaHead(
            num_classes,
            tuple(branches[name] for name in HEADS[head]),
            width,
            depth,
            deviation,
            groups=groups,
        ),
    )

    def columns(batch):
        """Images as floats, and boxes and classes of their objects."""
        for name in ('image', 'true_boxes', label):
            if name not in batch:
                raise ValueError(f'data: no column {name!r}; there are {sorted(batch)}')
        return (
            to_float(jnp.asarray(batch['image'])),
            jnp.asarray(batch['true_boxes']),
            jnp.asarray(batch[label]),
        )

    def priors_of(name, shapes):
        """Of each level, [n, 4]."""
        return [
            priors_ops.anchors(shape, stride, **boxes_of_cell[name])
            for shape, stride in zip(shapes, strides, strict=True)
        ]

    def joined(found):
        """Logits and box numbers of all levels, one after the other."""
        return [jnp.concatenate(parts, axis=1) for parts in zip(*found, strict=True)]

    def anchor_loss(found, priors, boxes, classes):
        (logits, deltas), priors = joined(found), np.concatenate(priors)
        assign = jax.vmap(
            lambda b, c: box_assignment.max_iou_assign(
                priors, b, c, positive=positive_iou, negative=negative_iou
            )
        )
        assigned = assign(boxes, classes)
        losses = retina_losses(logits, deltas, priors, assigned, boxes, classes)
        sums = [jnp.sum(x) for x in (*losses, assigned > 0)]
        class_sum, box_sum, positives = devices.total(sums, axis_name)
        positives = jnp.maximum(positives, 1)
        return class_sum / positives, box_sum / positives

    def free_loss(found, priors, boxes, classes, keys):
        (logits, numbers), sizes = joined(found), [len(p) for p in priors]
        priors = np.concatenate(priors)
        predicted = box_ops.decode_tblr(priors[None], positive(numbers))
        assign = jax.vmap(
            lambda b, c: box_assignment.center_region_assign(
                priors,
                b,
                c,
                num_classes,
                positive_scale=positive_scale,
                negative_scale=negative_scale,
                foreground_dominates=foreground_dominates,
            )
        )
        assigned, shadowed = assign(boxes, classes)
        by_size = box_assignment.pyramid_levels(
            boxes, num_levels, level=heuristic[0], size=heuristic[1]
        )
        given = {'online': None, 'heuristic': by_size}.get(level_choice)
        if level_choice == 'random':
            given = random_levels(keys, assigned, boxes.shape[1], sizes)
        loss = fsaf_loss(
            logits, predicted, assigned, shadowed, boxes, classes, sizes,
            levels=given, axis_name=axis_name,
        )  # fmt: skip
        changed = jnp.sum(loss.somewhere & (loss.levels != by_size))
        level = jnp.sum(jnp.where(loss.somewhere, loss.levels, 0))
        counts = changed, level, jnp.sum(loss.somewhere)
        changed, level, count = devices.total(counts, axis_name)
        count = jnp.maximum(count, 1)
        metrics = {'level_changed': changed / count, 'level': level / count}
        return jnp.sum(loss.class_loss), jnp.sum(loss.box_loss), metrics

    def init(key, batch):
        images, _, _ = columns(batch)
        return init_model(model, key, images)

    def loss(params, extra, batch, key):
        images, boxes, classes = columns(batch)
        keys = devices.example_keys(key, len(images), axis_name)
        flip_keys, level_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        images, boxes = jax.vmap(flip, in_axes=(0, 0, 0, None))(
            flip_keys, images, boxes, flip_probability
        )
        (shapes, found), extra = apply_train(model, params, extra, images)
        class_loss, box_loss, metrics = jnp.float32(0), jnp.float32(0), {}
        if 'anchors' in found:
            priors = priors_of('anchors', shapes)
            class_loss, box_loss = anchor_loss(found['anchors'], priors, boxes, classes)
        if 'free' in found:
            weight = free_weight if head == 'joint' else 1.0
            priors = priors_of('free', shapes)
            own_class, own_box, metrics = free_loss(
                found['free'], priors, boxes, classes, level_keys
            )
            class_loss, box_loss = class_loss + weight * own_class, box_loss + weight * own_box
        metrics = {**metrics, 'class_loss': class_loss, 'box_loss': box_loss}
        return class_loss + box_loss, (extra, metrics)

    def outputs(params, extra, batch):
        images = to_float(jnp.asarray(batch['image']))
        shapes, found = model.apply({'params': params, **extra}, images)
        size, levels = images.shape[1:3], []
        for name, of_levels in found.items():
            priors = priors_of(name, shapes)
            for (logits, numbers), of_level in zip(of_levels, priors, strict=True):
                if name == 'free':
                    boxes = box_ops.decode_tblr(of_level[None], positive(numbers), shape=size)
                else:
                    boxes = box_ops.decode_deltas(of_level[None], numbers, shape=size)
                levels.append((jax.nn.sigmoid(logits), boxes))
        best = jax.vmap(
            lambda of_image: detect(
                of_image,
                max_detections=max_detections,
                score_threshold=score_threshold,
                candidates=candidates,
                nms_threshold=nms_threshold,
            )
        )(levels)
        return best._asdict()

    return Method(init, loss, outputs)


def positive(numbers: jax.Array) -> jax.Array:
    """Distances of the anchor-free branch: at least 1e-4, so that no box is empty."""
    return jnp.maximum(numbers, 1e-4)
