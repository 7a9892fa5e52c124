import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxsep.algorithms import anchor_search
from jaxsep.data.sets.patch_scores import chamfer
from jaxsep.data.sets.patch_sets import patches
from jaxsep.data.source import load, take_all
from jaxsep.losses import cross_encoder
from jaxsep.ops.chamfer import chamfer_scores

# Compiled: one program a call in place of one an operation.
item_index = jax.jit(anchor_search.item_index, static_argnums=2)
approximate_scores = jax.jit(anchor_search.approximate_scores)
rerank_recall = jax.jit(anchor_search.rerank_recall, static_argnums=(2, 3))


@pytest.fixture(scope='module')
def data(golden):
    return golden('anncur')


@pytest.mark.parametrize('anchors', [5, 8, 12, 25])
def test_index_scores_and_recalls_agree_with_the_original(data, float64, anchors):
    want = {k.split('/')[1]: v for k, v in data.items() if k.startswith(f'rows_k{anchors}/')}
    train, test = data['data/train_scores'], data['data/test_scores']
    chosen = want['anchors']
    core, items = item_index(train, chosen, 1e-10)
    np.testing.assert_allclose(core, want['U'], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(items, want['item_embeddings'], rtol=1e-6, atol=1e-8)
    scores = approximate_scores(test[:, chosen], items)
    np.testing.assert_allclose(scores, want['approx_test'], rtol=1e-6, atol=1e-8)
    for k in (1, 5, 10):
        for retrieved in (10, 20):
            ours = np.mean(rerank_recall(scores, test, k, retrieved))
            theirs = want[f'recall_at{k}_retrieve{retrieved}']
            np.testing.assert_allclose(ours, theirs, atol=6e-5)  # four decimals there


def test_float32_is_close(data):
    train, chosen = data['data/train_scores'].astype(np.float32), data['rows_k8/anchors']
    _, items = item_index(train, chosen)
    test = data['data/test_scores'].astype(np.float32)
    scores = approximate_scores(test[:, chosen], items)
    np.testing.assert_allclose(scores, data['rows_k8/approx_test'], rtol=1e-3, atol=1e-3)


def test_anchor_items_may_serve_as_queries(data, float64):
    want = {k.split('/')[1]: v for k, v in data.items() if k.startswith('fixed_anchor_items')}
    anchors = want['anchors']
    _, items = item_index(want['item_item'], anchors, 1e-10)
    scores = approximate_scores(data['data/test_scores'][:, anchors], items)
    np.testing.assert_allclose(scores, want['approx_test'], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ('case', 'loss'),
    [('ce_loss', cross_encoder.sampled_softmax), ('bce_loss', cross_encoder.pairwise_logistic)],
)
def test_training_losses_agree_with_the_original_in_value_and_gradient(data, float64, case, loss):
    rows = data[f'{case}/pos'], data[f'{case}/neg']
    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(*rows)
    np.testing.assert_allclose(value, data[f'{case}/loss'], rtol=1e-6)
    for gradient, name in zip(gradients, ('pos', 'neg'), strict=True):
        np.testing.assert_allclose(gradient, data[f'{case}/grad_{name}'], rtol=1e-6, atol=1e-8)
    check_grads(jax.jit(loss), rows, order=1, modes=('rev',))


def test_losses_are_finite_at_extremes_and_zero_without_scores():
    big = np.array([1e4, -1e4], np.float32)
    for loss in (cross_encoder.sampled_softmax, cross_encoder.pairwise_logistic):
        value, gradient = jax.jit(jax.value_and_grad(loss))(big, np.stack([-big, big], axis=1))
        assert np.isfinite(value) and np.isfinite(gradient).all()
        assert loss(jnp.zeros(0), jnp.zeros((0, 3))) == 0
    assert cross_encoder.sampled_softmax(jnp.asarray(big), jnp.zeros((2, 0))) == 0


def test_distillation_is_least_where_the_student_agrees():
    teacher = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]], np.float32)
    gradients = jax.jit(jax.grad(cross_encoder.distillation, argnums=(0, 1)))
    gradient, _ = gradients(teacher + 4, teacher)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    _, into_teacher = gradients(0 * teacher, teacher)
    np.testing.assert_array_equal(into_teacher, 0)


def test_scores_of_low_rank_are_exact_from_as_many_anchors_as_the_rank():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(9, 3)), rng.normal(size=(3, 20))
    scores = (left @ right).astype(np.float32)
    anchors = np.array([11, 2, 5])
    _, items = item_index(scores[:6], anchors)
    got = approximate_scores(scores[6:, anchors], items)
    np.testing.assert_allclose(got, scores[6:], rtol=1e-3, atol=1e-3)


def test_the_exact_scores_of_anchors_are_put_back():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(6, 12)).astype(np.float32)
    anchors = np.array([7, 1])
    _, items = item_index(scores[:4], anchors)
    known = scores[4:, anchors]
    found = np.asarray(approximate_scores(known, items, anchors))
    np.testing.assert_array_equal(found[:, anchors], known)


def test_repeated_anchors_and_equal_scores_are_finite():
    scores = np.ones((4, 6), np.float32)
    core, items = item_index(scores, np.array([0, 0, 3]))
    assert np.isfinite(core).all() and np.isfinite(items).all()
    _, zeros = item_index(0 * scores, np.array([0, 1]))
    np.testing.assert_array_equal(zeros, 0)


def test_recall_counts_the_best_items_and_breaks_ties_by_index():
    exact = np.array([[3.0, 2.0, 1.0, 0.0]], np.float32)
    assert rerank_recall(exact, exact, 2, 2)[0] == 1
    assert rerank_recall(-exact, exact, 2, 2)[0] == 0
    assert rerank_recall(0 * exact, exact, 2, 2)[0] == 1, 'equal scores go to lower indices'
    assert rerank_recall(-exact, exact, 1, 4)[0] == 1
    with pytest.raises(ValueError, match='1 <= k <= num_retrieved <= 4 items, got 3 and 2'):
        rerank_recall(exact, exact, 3, 2)


def test_patch_scores_are_chamfer_similarities():
    source = load('patch_scores', num_anchor_queries=2, num_test_queries=3)
    items, queries = take_all(source.splits['train']), take_all(source.splits['test'])
    assert items['anchor_scores'].shape == (1792, 2) and queries['item_scores'].shape == (3, 1792)
    sets, mask = patches(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8), 4)
    expected = chamfer_scores(jnp.asarray(sets[:2, :8]), jnp.asarray(sets), None, jnp.asarray(mask))
    found = [chamfer(sets[:2, :8], tokens[kept]) for tokens, kept in zip(sets, mask, strict=True)]
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-6)
    assert queries['item_scores'].max() <= 8
    with pytest.raises(ValueError, match='num_tokens: expected at least 1'):
        load('patch_scores', num_tokens=0)
