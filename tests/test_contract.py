"""What every method promises, checked for every method in the tree; nothing is wired by hand.

Each method runs from its smoke config: configs/<family>/<slug>.py:smoke.
"""

import functools
import importlib.util
import json
import logging
import pathlib
import re
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsep import catalog, configuration, main, session
from jaxsep import method as method_contract
from jaxsep.data import batches, source
from jaxsep.method import Estimator, Method
from jaxsep.trainers import loop, precision
from jaxsep.trainers import state as states
from jaxsep.trainers import step as steps
from jaxsep.trainers.checkpoint import Checkpoints

ROOT = pathlib.Path(__file__).parents[1]
NAMES = catalog.names()


def load_config(name, arg='smoke'):
    spec = importlib.util.spec_from_file_location(name, ROOT / 'configs' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)


def kinds(name):
    """'learning', 'fitting' or both: a method may have stages of either kind."""
    text = (catalog.METHODS / f'{name}.py').read_text()
    patterns = {'learning': r'\bMethod\(', 'fitting': r'\bEstimator\('}
    return [kind for kind, pattern in patterns.items() if re.search(pattern, text)]


class Of(NamedTuple):
    """A method, and which kind of its stages is looked at."""

    name: str
    kind: str


def of_each(cases):
    """One test per method; the scope keeps the tests of a method together, and its `Case`."""
    names = [of.name for of in cases]
    ids = [of.name if names.count(of.name) == 1 else f'{of.name}-{of.kind}' for of in cases]
    return pytest.mark.parametrize('of', cases, ids=ids, scope='module')


CASES = [Of(name, kind) for name in NAMES for kind in kinds(name)]
every = of_each(CASES)
learning = of_each([of for of in CASES if of.kind == 'learning'])
fitting = of_each([of for of in CASES if of.kind == 'fitting'])


class Case:
    """A method from its smoke config, one batch, and its state on one device.

    With several stages it is the last that learns, or the last that is fitted: there the method is
    what its paper is about. Stages before it are untrained.
    """

    def __init__(self, of):
        self.of, self.name = of, of.name
        wanted = {'learning': Method, 'fitting': Estimator}[of.kind]
        stages = session.prepare(load_config(of.name), source.load)
        last = max(i for i, stage in enumerate(stages) if isinstance(stage.method, wanted))
        needed, before = stages[last].config.encoder.get('stages', ()), {}
        for given in stages[: last + 1]:
            if given is not stages[last] and given.name not in needed:
                continue
            self.stage = session.encoded(given, before)
            self.method, self.config = self.stage.method, self.stage.config
            self.train = self.stage.source.splits['train']
            self.batch = self.batch_of(seed=0)
            self.optimizer = seeing(session.make_optimizer(self.config))
            if given is not stages[last]:
                before[given.name] = given, (self.state.params, self.state.extra)
                del self.state, self.fresh

    def batch_of(self, seed):
        stream = batches.stream(self.train, seed=seed, batch_size=self.config.batch_size)
        batch = next(stream)
        stream.close()
        return batch

    def method_with(self, **changed):
        entry = catalog.describe(self.name)
        given = configuration.arguments(entry, self.config, self.stage.source, states.AXIS)
        return catalog.load(self.name).make(**{**given, **changed})

    @functools.cached_property
    def fresh(self):
        """What a run creates, on one device."""
        seed, mesh = self.config.seed, states.make_mesh(1)
        return states.create(self.method, self.optimizer, seed, self.batch, mesh)

    @functools.cached_property
    def state(self):
        """Before the first step, on one device; do not donate it."""
        return states.begin(self.method, self.fresh, states.make_mesh(1))

    @functools.cached_property
    def key(self):
        """What the first step draws from."""
        return jax.random.fold_in(self.state.key, self.state.step)

    @functools.cached_property
    def step(self):
        """The step on one device, compiled."""
        mesh, method = states.make_mesh(1), self.method._replace(loss=self.loss)
        return steps.compile_jit(method, self.optimizer, self.state, self.batch, mesh)

    @functools.cached_property
    def loss(self):
        """The loss, traced once for all programs; `form` has the shapes and dtypes of what it gives."""

        def noted(*given):
            found = self.method.loss(*given)
            self.form = avals(found)
            return found

        return jax.jit(noted)

    @functools.cached_property
    def first(self):
        """State and metrics after the first step: one program has the loss, its gradient and the rest."""
        return self.step(jax.tree.map(jnp.copy, self.state), self.batch)


class Seen(NamedTuple):
    """The gradient that an optimizer was given last, and its own state."""

    grads: Any
    own: Any


def seeing(optimizer):
    """The optimizer, with the gradient that it sees in its state."""

    def init(params):
        return Seen(jax.tree.map(jnp.zeros_like, params), optimizer.init(params))

    def update(grads, state, params=None):
        updates, own = optimizer.update(grads, state.own, params)
        return updates, Seen(grads, own)

    return optax.GradientTransformation(init, update)


def avals(tree):
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.asarray(x).dtype), tree)


@functools.lru_cache(2)
def case(of):
    return Case(of)


def assert_close(a, b, rtol=1e-4, atol=1e-5):
    """Leaf by leaf; atol is in units of the tree's largest number.

    Sums come in another order, and the gradient of a bias that a norm takes away again
    is nothing but their rounding.
    """
    numbers = [np.asarray(jax.device_get(leaf)) for leaf in jax.tree.leaves(b)]
    floats = [x[np.isfinite(x)] for x in numbers if np.issubdtype(x.dtype, np.floating)]
    largest = max((np.abs(x).max(initial=0) for x in floats), default=0)
    for (path, x), y in zip(jax.tree.leaves_with_path(a), numbers, strict=True):
        np.testing.assert_allclose(
            np.asarray(jax.device_get(x)),
            y,
            rtol=rtol,
            atol=atol * largest,
            err_msg=jax.tree_util.keystr(path),
        )


@learning
def test_loss_is_a_float32_scalar_and_keeps_the_form_of_extra(of):
    c = case(of)
    state, metrics = c.first
    value, (extra, own_metrics) = c.form
    assert value == ((), jnp.float32) and avals(metrics['loss']) == value
    assert extra == avals(c.state.extra)
    assert all(shape == () for shape, _ in own_metrics.values())
    assert avals(state.extra) == avals(c.state.extra)  # refreshed


@learning
def test_with_layers_in_bfloat16_the_loss_and_extra_keep_their_form(of):
    c = case(of)
    method = precision.compute_in(c.method, 'bfloat16')
    value, (extra, _) = jax.eval_shape(method.loss, c.state.params, c.state.extra, c.batch, c.key)
    assert (value.shape, value.dtype) == ((), jnp.float32)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), extra) == avals(c.state.extra)


@learning
def test_eager_and_jit_agree(of):
    c = case(of)
    batch = jax.tree.map(jnp.asarray, c.batch)
    eager, _ = c.method.loss(c.state.params, c.state.extra, batch, c.key)
    np.testing.assert_allclose(eager, c.first[1]['loss'], rtol=1e-4)


@learning
@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
def test_one_device_and_eight_agree_in_value_gradient_and_state(of, parallel):
    c = case(of)
    if parallel == 'pmap' and 'axis_name' not in catalog.describe(of.name).keywords:
        pytest.skip('make takes no axis_name: refused under pmap by configuration.check')
    many = states.make_mesh(8)
    state, metrics = c.first
    put = functools.partial(jax.device_put, device=states.replicated(many))
    params, extra, key = put(c.state.params), put(c.state.extra), put(c.key)
    if parallel == 'jit':
        f = jax.jit(jax.value_and_grad(c.loss, has_aux=True))
        (value, (extra, _)), grads = f(params, extra, states.place(c.batch, many), key)
    else:
        local = jax.value_and_grad(c.method_with(axis_name=states.AXIS).loss, has_aux=True)

        def shard(params, extra, batch, key):
            (value, (extra, _)), grads = local(params, extra, batch, key)
            return jax.lax.pmean(value, states.AXIS), extra, jax.lax.pmean(grads, states.AXIS)

        shards = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), c.batch)
        value, extra, grads = jax.pmap(
            shard, axis_name=states.AXIS, in_axes=(None, None, 0, None), out_axes=None
        )(params, extra, shards, key)
    np.testing.assert_allclose(value, metrics['loss'], rtol=1e-5, atol=1e-6)
    assert_close(grads, state.opt_state.grads)
    if c.method.refresh is not method_contract.keep:
        refresh = jax.jit(c.method.refresh)
        extra = refresh(*jax.device_get((state.params, extra, state.step)))
    assert_close(extra, state.extra)


@learning
def test_steps_repeat_bit_exactly_compile_once_and_keep_dtypes(of, caplog):
    c = case(of)
    once, _ = c.first
    assert avals(once) == avals(c.state)
    again, _ = c.step(jax.tree.map(jnp.copy, c.state), c.batch)
    for x, y in zip(leaves(once), leaves(again), strict=True):
        np.testing.assert_array_equal(x, y)
    other = c.batch_of(seed=1)
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        _, metrics = c.step(again, other)
        jax.block_until_ready(metrics)
    assert not [r.message for r in caplog.records if 'Compiling' in r.message]


def leaves(state):
    return jax.device_get(jax.tree.leaves(state._replace(key=jax.random.key_data(state.key))))


@learning
def test_smoke_run_falls_and_resumes_bit_exactly(of, tmp_path, monkeypatch):
    # Compiled already, or now: another worker may have had the tests before.
    c, optimizer = case(of), session.make_optimizer
    step, fresh = c.step, c.fresh
    monkeypatch.setattr(loop, 'create', lambda *given: fresh)
    monkeypatch.setattr(steps, 'compile_jit', lambda *given: step)
    monkeypatch.setattr(session, 'make_optimizer', lambda config: seeing(optimizer(config)))
    config = c.config.copy_and_resolve_references()
    config.checkpoint_every = half = max(config.num_steps // 2, 1)
    config.stages, config.report, config.num_devices = (), False, 1
    config.evals = {name: config.evals[name] for name in config.evals_while_training}
    stages = main.prepare(config, tmp_path / 'a')
    stages = [s._replace(mesh=c.stage.mesh, predict=c.stage.predict) for s in stages]
    main.run(config, tmp_path / 'a', stages)
    lines = [json.loads(x) for x in (tmp_path / 'a' / 'metrics.jsonl').read_text().splitlines()]
    losses = [x['loss'] for x in lines if 'loss' in x]
    assert len(losses) >= 4, 'a smoke config logs its loss at least four times'
    assert np.mean(losses[-2:]) < np.mean(losses[:2])
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    shutil.rmtree(tmp_path / 'b' / 'checkpoints' / str(config.num_steps))
    assert (tmp_path / 'b' / 'checkpoints' / str(half)).exists()
    main.run(config, tmp_path / 'b', stages)
    whole, resumed = (saved(of, tmp_path / run, config.num_steps) for run in 'ab')
    for x, y in zip(leaves(whole), leaves(resumed), strict=True):
        np.testing.assert_array_equal(x, y)


def saved(of, workdir, step):
    checkpoints = Checkpoints(workdir / 'checkpoints')
    state, _ = checkpoints.restore(case(of).state, step)
    checkpoints.close()
    return state


@every
def test_evaluations_of_the_smoke_config_measure_finite_numbers(of):
    c = case(of)
    evals = tuple(c.config.evals)
    tables = session.outputs(c.stage, variables(c), session.needed(evals))
    over = [name for name in evals if session.over_stages(name)]
    last = [name for name in evals if name not in over]
    results = session.evaluate(c.stage, tables, last)
    results |= session.evaluate(c.stage, {c.stage.name: tables}, over)
    assert evals and results
    assert all(np.isfinite(x) for x in results.values()), results


def variables(c):
    """Untrained, or fitted: what outputs are computed with."""
    if isinstance(c.method, Method):
        return c.state.params, c.state.extra
    return fitted(c.of)


def apply_of(c):
    given = variables(c)
    if isinstance(c.method, Method):
        return lambda batch: c.method.outputs(*given, batch)
    return lambda batch: c.method.outputs(given, batch)


@every
def test_outputs_have_a_row_per_example_that_ignores_the_others(of):
    c = case(of)
    apply = jax.jit(apply_of(c))
    whole = apply(c.batch)
    swapped = {k: np.concatenate([v[:1], v[::-1][: len(v) - 1]]) for k, v in c.batch.items()}
    changed = apply(swapped)
    assert whole, 'a method names at least one output'
    for key, value in whole.items():
        assert len(value) == len(c.batch['index']), key
        np.testing.assert_allclose(
            np.asarray(value[0], np.float64), np.asarray(changed[key][0], np.float64),
            rtol=1e-4, atol=1e-5, err_msg=key,
        )  # fmt: skip


@functools.lru_cache(2)
def fitted(of):
    c = case(of)
    return jax.jit(c.method.fit)(jax.random.key(0), c.train.take(np.arange(len(c.train))))


@fitting
def test_fitting_is_the_same_eager_jitted_and_on_eight_devices(of):
    c = case(of)
    assert isinstance(c.method, Estimator)
    rows = len(c.train) - len(c.train) % 8
    data = c.train.take(np.arange(rows))
    expected = jax.jit(c.method.fit)(jax.random.key(0), data)
    assert_close(
        c.method.fit(jax.random.key(0), jax.tree.map(jnp.asarray, data)), expected, 1e-3, 1e-3
    )
    sharded = jax.jit(c.method.fit)(jax.random.key(0), states.place(data, states.make_mesh(8)))
    assert_close(sharded, expected, 1e-3, 1e-3)
    assert_close(jax.jit(c.method.fit)(jax.random.key(0), data), expected, 0, 0)


@fitting
def test_smoke_run_of_an_estimator_is_read_back(of, tmp_path):
    config = load_config(of.name)
    config.report = False
    first = main.run(config, tmp_path)
    assert main.run(config, tmp_path) == first


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('arg', ['smoke', 'small', 'full'])
def test_configs_name_arguments_that_make_has(name, arg):
    config = load_config(name, arg)
    for _, stage in configuration.stage_configs(config):
        assert configuration.check(stage).name == name
