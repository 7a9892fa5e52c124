"""The network against the original's: layers, guide, both stages, losses and two gradients."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.losses.ms_attention import summed_squared_errors
from jaxsep.losses.segmentation import pixel_cross_entropy
from jaxsep.models.blocks.unet import UNet
from jaxsep.models.ms_attention import (
    DAF,
    AttentionLayer,
    Baseline,
    MultiConv,
    SemanticGuide,
    Stage,
)
from jaxsep.ops.resize import resize_bilinear

close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)


def channels_last(x):
    return jnp.asarray(np.moveaxis(x, 1, -1))


class Torch:
    """Parameters and batch statistics of flax from the names and layouts of PyTorch."""

    def __init__(self, data, case):
        shapes = [tuple(int(n) for n in shape if n) for shape in data[f'{case}/shapes']]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(data[f'{case}/weights'], ends[:-1])
        self.weights = {
            str(name): part.reshape(shape)
            for name, part, shape in zip(data[f'{case}/names'], parts, shapes, strict=True)
        }
        self.params, self.stats = {}, {}

    def __call__(self, name):
        return self.weights[name]

    def conv(self, ours, theirs):
        """[out, in, h, w] -> [h, w, in, out], or [in, out] of a linear layer, where it is 1 x 1."""
        kernel = self(f'{theirs}.weight').transpose(2, 3, 1, 0)
        kernel = kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel
        put(self.params, ours, {'kernel': kernel, 'bias': self(f'{theirs}.bias')})

    def transposed(self, ours, theirs):
        """[in, out, h, w], and flax turns the kernel."""
        kernel = self(f'{theirs}.weight').transpose(2, 3, 0, 1)[::-1, ::-1]
        put(self.params, ours, {'kernel': kernel, 'bias': self(f'{theirs}.bias')})

    def norm(self, ours, theirs):
        put(self.params, ours, {'scale': self(f'{theirs}.weight'), 'bias': self(f'{theirs}.bias')})
        stats = {'mean': self(f'{theirs}.running_mean'), 'var': self(f'{theirs}.running_var')}
        put(self.stats, ours, stats)

    def slope(self, ours, theirs):
        put(self.params, ours, {'negative_slope': self(f'{theirs}.weight')[0]})

    def attention_layer(self, ours, theirs, position):
        for index, start in ((1, 0), (2, 4)):
            self.conv(f'{ours}conv_{index}', f'{theirs}.{start}')
            self.norm(f'{ours}norm_{index}', f'{theirs}.{start + 1}')
            self.slope(f'{ours}slope_{index}', f'{theirs}.{start + 2}')
        put(self.params, f'{ours}attention', {'gamma': self(f'{theirs}.3.gamma')[0]})
        for name in ('query', 'key', 'value') if position else ():
            self.conv(f'{ours}attention/{name}', f'{theirs}.3.{name}_conv')

    def pair(self, ours, theirs):
        for index, start in enumerate((0, 3)):
            self.conv(f'{ours}/Conv_{index}', f'{theirs}.{start}')
            self.norm(f'{ours}/BatchNorm_{index}', f'{theirs}.{start + 1}')

    def guide(self, ours, theirs):
        for level in (1, 2):
            self.pair(f'{ours}down_{level}', f'{theirs}enc{level}.encode')
            self.pair(f'{ours}up_{level}', f'{theirs}dec{level}.decode')
            self.transposed(f'{ours}double_{level}', f'{theirs}dec{level}.decode.6')

    def multi_conv(self, ours, theirs, softmax=False):
        for index, start in ((1, 0), (2, 3), (3, 6)):
            self.conv(f'{ours}conv_{index}', f'{theirs}.{start}')
            self.norm(f'{ours}norm_{index}', f'{theirs}.{start + 1}')
            if not (softmax and index == 3):
                self.slope(f'{ours}slope_{index}', f'{theirs}.{start + 2}')

    @property
    def variables(self):
        return {'params': self.params, 'batch_stats': self.stats}


def put(tree, path, leaves):
    for part in path.split('/'):
        tree = tree.setdefault(part, {})
    tree.update(leaves)


@pytest.fixture(scope='module')
def data(golden):
    return golden('ms_attention')


@pytest.mark.parametrize('name, kind', [('pam_layer', 'position'), ('cam_layer', 'channel')])
def test_attention_layers_agree_with_the_original(data, name, kind):
    torch = Torch(data, f'{name}')
    torch.attention_layer('', 'attn', kind == 'position')
    x = channels_last(data[f'{name}/in0'])
    found, _ = jax.jit(AttentionLayer(8, kind).apply)(torch.variables, x)
    # The channels' energies reach 573, of which float32 knows 3e-5: so well the weights are
    # known, and what they mix, up to 40. The original is 1.4e-4 off its own result in float64.
    close(found, channels_last(data[f'{name}/out0']), atol=1e-3 if kind == 'channel' else 1e-4)


def test_the_guide_agrees_with_the_original(data):
    torch = Torch(data, 'semantic')
    torch.guide('', '')
    x = channels_last(data['semantic/in0'])
    code, reconstruction = jax.jit(SemanticGuide().apply)(torch.variables, x)
    close(np.moveaxis(code, -1, 1).ravel(), data['semantic/out0'])
    close(reconstruction, channels_last(data['semantic/out1']))


@pytest.mark.parametrize('end', ['prelu', 'softmax'])
def test_multi_conv_agrees_with_the_original(data, end):
    torch = Torch(data, f'multiconv_{end}')
    torch.multi_conv('', 'fuse_attn', end == 'softmax')
    x = channels_last(data[f'multiconv_{end}/in0'])
    found = jax.jit(MultiConv(8, end == 'softmax').apply)(torch.variables, x)
    close(found, channels_last(data[f'multiconv_{end}/out0']))


@pytest.fixture(scope='module')
def network(data):
    """The whole network with the original's weights, and its four maps."""
    torch = Torch(data, 'daf')
    for s in range(1, 5):
        torch.conv(f'down_{s}', f'down{s}.0')
        torch.norm(f'down_norm_{s}', f'down{s}.1')
        torch.slope(f'down_slope_{s}', f'down{s}.2')
        torch.conv(f'early_{s}', f'predict{s}')
        torch.conv(f'head_{s}', f'predict{s}_2')
        for stage, out in ((1, ''), (2, '1')):
            ours = f'scale_{s}/stage_{stage}/scales/'
            for name in ('pam', 'cam'):
                theirs = f'{name}_attention_{stage}_{s}.attn'
                torch.attention_layer(f'{ours}{name}/', theirs, name == 'pam')
            # These two are numbered from the deepest scale.
            torch.conv(f'{ours}gate', f'conv_sem_{stage}_{5 - s}')
            torch.conv(f'{ours}out', f'conv8_{out}{5 - s}')
    for tree in (torch.params, torch.stats):
        scales = [tree.pop(f'scale_{s}') for s in range(1, 5)]
        tree |= jax.tree.map(lambda *leaves: np.stack(leaves), *scales)
    for stage in (1, 2):
        torch.guide(f'stage_{stage}/guide/', f'semanticModule_{stage}_1.')
    torch.multi_conv('fuse/', 'fuse1.fuse_attn')
    maps = [channels_last(data[f'daf/c{s}']) for s in range(2, 6)]
    return DAF(num_classes=5, width=4), torch.variables, maps


def test_every_weight_of_the_network_has_its_place(network, data):
    model, variables, maps = network
    expected = jax.eval_shape(model.init, jax.random.key(0), maps)
    shapes = functools.partial(jax.tree.map, np.shape)
    assert shapes(variables) == jax.tree.map(lambda x: x.shape, expected)
    # And none of the original's is left over.
    assert data['daf/weights'].size == sum(x.size for x in jax.tree.leaves(variables))


def test_the_network_agrees_with_the_original_in_its_logits(network, data):
    model, variables, maps = network
    shape = tuple(int(n) for n in data['daf/image_hw'])
    # In blocks of queries here, all at once where it trains.
    outcome = jax.jit(model.clone(chunk=100).apply)(variables, maps)
    logits = resize_bilinear(sum(outcome.logits) / 4, shape)
    close(logits, channels_last(data['daf/eval_logits']))
    assert outcome.attended.shape == (2, 16, 16)


def test_losses_and_gradients_agree_with_the_original(network, data):
    model, variables, maps = network
    labels = jnp.asarray(data['daf_loss/labels'])

    @functools.partial(jax.value_and_grad, has_aux=True)
    def step(leaves):
        """As a function of the two that the gradient is known of; the rest is not computed."""
        params = jax.tree.map(jnp.asarray, variables['params'])
        params['down_1']['kernel'] = leaves['kernel']
        params['stage_1']['scales']['pam']['attention']['gamma'] = leaves['gamma']
        given = {'params': params, 'batch_stats': variables['batch_stats']}
        outcome, _ = model.apply(given, maps, True, mutable=['batch_stats'])
        heads = [resize_bilinear(x, labels.shape[1:]) for x in (*outcome.early, *outcome.logits)]
        entropies = [pixel_cross_entropy(x, labels) for x in heads]
        semantic = [summed_squared_errors([x], [y]) for x, y in zip(*outcome.codes, strict=True)]
        pairs = zip(outcome.inputs, outcome.reconstructions, strict=True)
        rebuilt = [summed_squared_errors([x], [y]) for x, y in pairs]
        total = sum(entropies) + 0.25 * sum(semantic) + 0.1 * sum(rebuilt)
        both = summed_squared_errors(*outcome.codes)
        return total, (entropies, semantic, rebuilt, both)

    params = variables['params']
    leaves = {
        'kernel': params['down_1']['kernel'],
        'gamma': params['stage_1']['scales']['pam']['attention']['gamma'],
    }
    (total, (entropies, semantic, rebuilt, both)), grads = jax.jit(step)(leaves)
    close(entropies, data['daf_loss/ce'])
    close(semantic, data['daf_loss/semantic'][::-1])
    close(rebuilt, data['daf_loss/reconstruction'])
    close(both, data['daf_loss/semantic'].sum())
    close(total, data['daf_loss/total'])
    expected = data['daf_loss/grad_down1_conv'][:, :, 0, 0].T
    # Through two stages, ten norms and two attentions: a rounding grows to 1e-3 of the gradient.
    np.testing.assert_allclose(
        grads['kernel'], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )
    # Of the finest scale.
    np.testing.assert_allclose(grads['gamma'][0], data['daf_loss/grad_gamma'][0], rtol=1e-3)


def test_the_guide_of_sides_that_are_no_multiple_of_four_resizes_its_middle():
    guide = SemanticGuide()
    x = jnp.ones((1, 6, 10, 2))
    code, reconstruction = jax.eval_shape(
        lambda x: guide.init_with_output(jax.random.key(0), x)[0], x
    )
    assert code.shape == (1, 1, 2, 8) and reconstruction.shape == (1, 6, 10, 2)
    for shape in ((1, 5, 6, 2), (1, 2, 6, 2)):
        with pytest.raises(ValueError, match='guide: expected maps of even sides, at least 4, got'):
            guide.init(jax.random.key(0), jnp.ones(shape))


@pytest.mark.parametrize(
    'options, parts',
    [
        (dict(attention='none', guide=False), {'out'}),
        (dict(attention='none', guide=True), {'out', 'gate'}),
        (dict(attention='convolutions', guide=False), {'out', 'pam', 'cam'}),
    ],
)
def test_parts_that_are_switched_off_have_no_weights(options, parts):
    stage = Stage(3, **options)
    (results, codes, rebuilt, attended), variables = jax.eval_shape(
        stage.init_with_output, jax.random.key(0), jnp.ones((2, 1, 4, 4, 6))
    )
    assert set(variables['params']) == {'scales'} | ({'guide'} if options['guide'] else set())
    assert set(variables['params']['scales']) == parts
    assert 'attention' not in variables['params']['scales'].get('pam', {})
    assert results.shape == (2, 1, 4, 4, 3) and attended.shape == (1, 4, 4)
    assert (codes is None) == (rebuilt is None) == (not options['guide'])


def test_the_losses_of_no_pairs_and_of_equal_ones_are_zero_and_shapes_are_checked():
    assert summed_squared_errors([], []) == 0
    x = jnp.ones((2, 3, 1))
    value, grad = jax.value_and_grad(lambda x: summed_squared_errors([x], [jnp.ones((2, 3, 1))]))(x)
    assert value == 0 and not grad.any()
    assert summed_squared_errors([jnp.ones((0, 3))], [jnp.ones((0, 3))]) == 0
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2, 3, 4, 5))
    expected = np.mean((a[0] - b[0]) ** 2) + np.mean((a[1] - b[1]) ** 2)
    found = summed_squared_errors(list(jnp.asarray(a)), list(jnp.asarray(b)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r'second: expected arrays as in first, \(2, 3, 1\), got'):
        summed_squared_errors([x], [x[:, :2]])


def test_eight_devices_agree(same_on_eight_devices):
    rng = np.random.default_rng(1)
    x, y = (jnp.asarray(rng.normal(size=(8, 2, 3)), jnp.float32) for _ in range(2))

    def loss(x, y, axis_name):
        return summed_squared_errors([x, y], [y, 2 * x], axis_name=axis_name)

    same_on_eight_devices(loss, x, y)


def test_a_baseline_has_nothing_but_its_logits():
    model = Baseline(UNet((2, 3), 4))
    outcome, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((1, 4, 4, 1)))
    assert outcome.logits[0].shape == (1, 4, 4, 4)
    assert not (outcome.early or outcome.inputs or outcome.codes) and outcome.attended is None
