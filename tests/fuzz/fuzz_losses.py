"""What the annotations of the losses do not say: one entry for a function, under `<module>.<name>`."""

import fuzz_values as values
from fuzz_makers import (
    BOXES,
    CLASSES,
    MAGNITUDES,
    POSITIVE,
    PREDICTED,
    PROBABILITIES,
    SHARES,
    UNIT,
    Below,
    Build,
    Fixed,
    Pattern,
    Shaped,
    Special,
    at_least,
    at_most,
    integers,
    no_more,
    permutation,
)

LOSSES = {
    'boxes.iou_loss': Special(
        {'form': Fixed(variants=('log', 'linear')), 'pred': PREDICTED, 'target': BOXES}
    ),
    'boxes.giou_loss': Special({'pred': PREDICTED, 'target': BOXES}),
    'boxes.diou_loss': Special({'pred': PREDICTED, 'target': BOXES}),
    'boxes.ciou_loss': Special({'pred': PREDICTED, 'target': BOXES}),
    'cmim.bernoulli_log_prob': Special({'x': SHARES}),
    'coding_rate.coding_rate': Special({'features': UNIT}),
    'coding_rate.compression': Special({'features': UNIT, 'affinity': SHARES}),
    'coding_rate.mlc_loss': Special({'features': UNIT, 'affinity': SHARES}, at_most(n=40)),
    'coding_rate.tcr_loss': Special({'views': UNIT}, at_most(v=4)),
    'coding_rate.view_alignment': Special({'views': UNIT}, at_most(v=4)),
    'compatibility.higher_order_compatibility': Special(
        {'mask': Fixed(variants=('zero', 'exclude'))}
    ),
    'contrastive.supcon': Special(
        {
            'anchors': Fixed(variants=('all', 'one')),
            'reduction': Fixed(variants=('mean', 'mean', 'avg_nonzero')),
        },
        at_most(v=5),
    ),
    **{
        f'contrastive_behaviour.{name}': Special(
            {'num_hard': Fixed(variants=(1, 3, 10))}, no_more('n', 'm')
        )
        for name in (
            'info_nce_per_anchor',
            'simple_contrastive',
            'hard_contrastive',
            'hard_simple',
            'hard_negative_mask',
            'similarity_gradient',
            'relative_penalty',
            'penalty_entropy',
            'local_separation',
            'positive_mask',
        )
    },
    'dense_detection.labels_of': Special({'assigned': integers(-1, lambda s: s['m'], 'b', 'n')}),
    'dense_detection.boxes_of': Special({'assigned': integers(-1, lambda s: s['m'], 'b', 'n')}),
    'dense_detection.retina_losses': Special(
        {
            'assigned': integers(-1, lambda s: s['m'], 'b', 'n'),
            'true_boxes': BOXES,
            'priors': BOXES,
        }
    ),
    'distillation.dino': Special(sizes=no_more('g', 'v')),
    'distillation.cross_view_entropy': Special({'targets': PROBABILITIES}, no_more('g', 'v')),
    'dsl.split_normalise': Special({'num_learners': Fixed(CLASSES)}),
    'entmax.entmax_loss': Special({'alpha': Fixed(variants=(1.5, 1.0, 2.0, 1.3))}),
    'focal.sigmoid_focal': Special({'labels': Build(values.classes)}),
    'focal.gaussian_focal': Special({'targets': SHARES}),
    **{
        f'fsaf.{name}': Special(
            {
                'level_sizes': Fixed(lambda s: (s['n'] - s['n'] // 2, s['n'] // 2)),
                'num_objects': Fixed(lambda s: s.get('m', 3)),
                'assigned': integers(-1, lambda s: s.get('m', 3), 'b', 'n'),
                'levels': integers(0, 1, 'b', 'm'),
                'labels': integers(-1, CLASSES - 1, 'b', 'n'),
                'num_classes': Fixed(lambda s: s.get('c', CLASSES)),
                'true_boxes': BOXES,
                'boxes': PREDICTED,
            },
            lambda s: {'c': s.get('c', CLASSES)},
        )
        for name in ('level_losses', 'random_levels', 'learnt_places', 'fsaf_loss')
    },
    'hydra.subspace_cosines': Special({'gate': SHARES}),
    'hydra.gated_cosines': Special({'gate': SHARES}),
    'hydra.hydra': Special(
        {
            'gate': SHARES,
            'similarity': Fixed(variants=('subspace', 'gated')),
            'reduction': Fixed(variants=('pooled', 'pooled', 'row')),
        }
    ),
    'hydra.multi_positive_cross_entropy': Special({'reduction': Fixed(variants=('pooled', 'row'))}),
    'hydra.partner_classes': Special(
        {'pairs': Fixed(variants=('arbitrary', 'distinct', 'identical'))}
    ),
    'hydra.gate_statistics': Special({'gate': SHARES}),
    'info_nce.info_nce': Special({'symmetric': Fixed(variants=(False, True))}),
    **{
        f'isogclr.{name}': Special(
            {
                'index': permutation('b', of='n'),
                'log_inner_mean': Pattern(values.log_means),
                'temperature': Pattern(values.between(0.05, 1.0)),
                'momentum': Pattern(values.between(-3.0, 3.0)),
            },
            no_more('b', 'n'),
        )
        for name in ('rgcl', 'rgcl_squared_hinge', 'gcl', 'sogclr', 'take', 'put')
    },
    'isogclr.gamma_schedule': Special(
        {'epoch': POSITIVE, 'gamma': SHARES, 'decay_epochs': Fixed(5)}
    ),
    **{
        f'isogclr_bimodal.{name}': Special(
            {
                'index': permutation('b', of='n'),
                'inner_mean': SHARES,
                'largest_exponent': POSITIVE,
                'temperature': Pattern(values.between(0.005, 1.0)),
                'momentum': Pattern(values.between(-3.0, 3.0)),
            },
            no_more('b', 'n'),
        )
        for name in ('rgcl_bimodal', 'gcl_bimodal')
    },
    'segmentation.pixel_cross_entropy': Special({'labels': Build(values.pixels)}),
    'segmentation.soft_dice_loss': Special({'labels': Build(values.pixels)}),
    'separation.decibels': Special({'kind': Fixed(variants=('si_sdr', 'snr', 'sd_sdr'))}),
    'separation.pairwise_losses': Special({'targets': Shaped(lambda s: (s['b'], 3, s['t']))}),
    'separation.permutation_invariant': Special(
        {'losses': Shaped(lambda s: (s['b'], len(s['...']) * 3, len(s['...']) * 3))}
    ),
    'separation.assign': Special(sizes=at_most(n=30)),
    'separation.reorder': Special({'permutation': integers(0, lambda s: s['n'] - 1, 'b', 'n')}),
    'separation.mixture_invariant': Special(
        {'kind': Fixed(variants=('snr', 'si_sdr'))}, at_most(m=4, k=3, b=40)
    ),
    'separation.magnitude_l1': Special({'n_fft': Fixed(16), 'hop': Fixed(4)}, at_least(t=16)),
    'rotnet.rotation_loss': Special({'rotations': Below(lambda s: s['k'])}),
    'sparse.expected_l0': Special({'bandwidth': Fixed(0.1), 'thresholds': POSITIVE}),
    'triplet.triplet_margin': Special({'miner': Fixed(variants=('all', 'semihard', 'hard'))}),
    'triplet.batch_hard_indices': Special({'distances': MAGNITUDES}),
    'triplet.semihard_mask': Special({'distances': MAGNITUDES, 'margin': SHARES}),
    'triplet.margin_loss': Special({'groups': integers(-1, 1, 'n')}),
    'triplet.nearest_negative_sampler': Special(
        {'distances': MAGNITUDES, 'num_negatives': Fixed(3)}
    ),
}
