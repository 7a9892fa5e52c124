"""Every public loss and metric with arrays of any shape and magnitude: `fuzz_rule` says what is a bug.

`pytest -m slow tests/fuzz` draws some 13,000 cases; the default suite a few of a dozen functions.
"""

import inspect

import fuzz_signatures as signatures
import fuzz_values as values
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fuzz_makers import Special
from fuzz_rule import Case, Subject
from fuzz_special import EXCLUDED, SPECIAL
from hypothesis import strategies as st

FUNCTIONS = signatures.public_functions('losses', 'metrics')
TESTED = sorted(set(FUNCTIONS) - set(EXCLUDED))
EXAMPLES, CASES = 34, 10_000
QUICK = (
    'losses.contrastive.contrastive_in', 'losses.distillation.byol', 'losses.redundancy.covariance_term',
    'metrics.binary.auc', 'metrics.neural_collapse.equinorm', 'metrics.scatter.fisher_trace_ratio',
    'metrics.separation.energy_ratio', 'metrics.sparsity.kappa4',
)  # fmt: skip


def fuzz(name, examples, record_property):
    """Draws cases and stops at the simplest one with a complaint; reports how many there were."""
    subject = Subject(name, FUNCTIONS[name], differentiated=name.startswith('losses'))
    count = len(signatures.plans(name, FUNCTIONS[name]))
    drawn = 0

    @hypothesis.settings(
        max_examples=examples, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    )  # fmt: skip
    @hypothesis.given(
        plan=st.integers(0, count - 1),
        patterns=st.lists(st.sampled_from(values.FLOATS), min_size=1, max_size=3),
        same=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
        half=st.booleans() if name.startswith('losses') else st.just(False),
    )
    def check(plan, patterns, same, seed, half):
        nonlocal drawn
        drawn += 1
        # One plan in bfloat16 is enough: each is one more program.
        case = Case(plan, tuple(patterns), same, seed, half and plan == count - 1)
        complaint = subject.complaint(case)
        assert not complaint, (
            f'{name}, lengths {signatures.plans(name, FUNCTIONS[name])[plan]}: {complaint}'
        )

    check()
    record_property('cases', drawn)
    # Refusing to compute is no way to pass.
    assert subject.refused < drawn / 2, f'{name}: refused {subject.refused} of {drawn} calls'


@pytest.mark.parametrize('name', QUICK)
def test_results_are_finite(name, record_property):
    fuzz(name, 4, record_property)


@pytest.mark.slow
@pytest.mark.parametrize('name', TESTED)
def test_results_are_finite_for_many(name, record_property):
    fuzz(name, EXAMPLES, record_property)


def test_there_are_ten_thousand_cases_and_more():
    assert len(TESTED) * EXAMPLES >= CASES


@pytest.mark.parametrize('name', TESTED)
def test_arguments_can_be_made_for_every_public_function(name):
    """`Missing` says what to add to SPECIAL for a new loss or metric whose arguments no annotation tells."""
    subject = Subject(name, FUNCTIONS[name], differentiated=False)
    case = Case(0, (values.zeros,), False, 0)
    given = {*subject.arrays(case), *subject.call(0).fixed}
    for argument, _, default in signatures.parameters(FUNCTIONS[name]):
        assert argument in given or default is not inspect.Parameter.empty


def test_the_table_names_only_functions_that_exist():
    unknown = {*SPECIAL, *EXCLUDED, *QUICK} - set(FUNCTIONS)
    assert not unknown, f'remove {sorted(unknown)} from the tables in tests/fuzz'


@pytest.mark.parametrize('name', sorted(n for n, s in SPECIAL.items() if s.infinite or s.limited))
def test_what_is_accepted_is_documented(name):
    function = inspect.unwrap(FUNCTIONS[name])
    places = [function, inspect.getmodule(function), *vars(inspect.getmodule(function)).values()]
    text = ' '.join(' '.join((inspect.getdoc(place) or '').split()) for place in places)
    for phrase in (SPECIAL[name].infinite, SPECIAL[name].limited):
        assert phrase in text, f'{name}: no docstring of its module says {phrase!r}'


def squared_difference_of_norms(x: jax.Array) -> jax.Array:
    return (jnp.sum(x * x) - jnp.sum(x * x)) + jnp.sum(x)


class TestTheRule:
    """Whether the rule sees what it is for."""

    def complaint(self, function, patterns, monkeypatch):
        monkeypatch.setitem(SPECIAL, 'losses.planted', Special())
        call = signatures.Call(
            'losses.planted', function, {}, {'x': lambda rng, p: p.draw(rng, (4,)).astype(np.float32)}, False
        )  # fmt: skip
        subject = Subject('losses.planted', function, differentiated=True)
        subject.calls[0] = call
        return subject.complaint(Case(0, patterns, False, 0))

    def test_a_difference_of_infinities_is_a_bug_where_the_true_number_is_representable(
        self, monkeypatch
    ):
        complaint = self.complaint(squared_difference_of_norms, (values.huge,), monkeypatch)
        assert 'nan' in complaint and 'float64' in complaint

    def test_overflow_of_a_number_that_is_too_large_is_none(self, monkeypatch):
        assert not self.complaint(lambda x: jnp.sum(x * x), (values.huge,), monkeypatch)

    def test_an_infinite_gradient_at_zero_is_a_bug(self, monkeypatch):
        complaint = self.complaint(lambda x: jnp.sum(jnp.sqrt(x * x)), (values.zeros,), monkeypatch)
        assert 'gradient' in complaint and 'ordinary' in complaint

    def test_nan_in_float64_too_is_a_bug(self, monkeypatch):
        complaint = self.complaint(
            lambda x: jnp.sum(x - x) / jnp.sum(x - x), (values.huge,), monkeypatch
        )
        assert complaint.startswith('value 0: [nan]')

    def test_errors_must_name_an_argument(self, monkeypatch):
        def named(x):
            raise ValueError('x: expected something else')

        def nameless(x):
            raise ValueError('wrong')

        assert not self.complaint(named, (values.zeros,), monkeypatch)
        assert 'ValueError' in self.complaint(nameless, (values.zeros,), monkeypatch)
