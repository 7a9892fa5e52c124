import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.algorithms.fixed_dimensional_encoding import (
    CountSketch,
    Matrices,
    count_sketch,
    document_encoding,
    draw,
    gray_index,
    query_encoding,
    simhash_partition,
)
from jaxsep.ops.chamfer import chamfer_scores

CASES = ('basic', 'nofill', 'ams', 'final', 'ksim0', 'single_doc')


def case(arrays, name):
    """Query, document, matrices and the rest of one golden case."""
    get = lambda key: arrays.get(f'{name}/{key}')  # noqa: E731
    r, k = int(get('num_repetitions')), int(get('num_simhash_projections'))
    q, p = get('q'), get('p')
    planes = np.zeros((r, q.shape[1], 0), np.float32) if k == 0 else get('simhash')
    projection, sketch = get('proj'), None
    if get('final_dim'):
        sketch = CountSketch(jnp.asarray(get('cs_index')), jnp.asarray(get('cs_sign'), jnp.float32))
    matrices = Matrices(
        jnp.asarray(planes), None if projection is None else jnp.asarray(projection), sketch
    )
    return jnp.asarray(q), jnp.asarray(p), matrices, get


@pytest.mark.parametrize('name', CASES)
def test_golden(golden, name):
    q, p, matrices, get = case(golden('muvera'), name)
    final_dim = int(get('final_dim')) or None
    query = query_encoding(q[None], matrices, final_dim=final_dim)[0]
    document = document_encoding(
        p[None], matrices, fill_empty=bool(get('fill_empty')), final_dim=final_dim
    )[0]
    # atol: sums of cancelling terms come in another order.
    np.testing.assert_allclose(query, get('fde_q'), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(document, get('fde_p'), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jnp.dot(query, document), get('dot'), rtol=2e-5)
    if get('part_q') is not None:
        for r, planes in enumerate(matrices.planes):
            np.testing.assert_array_equal(simhash_partition(q, planes), get('part_q')[r])
            np.testing.assert_array_equal(simhash_partition(p, planes), get('part_p')[r])


def oracle(points, matrices, *, average, fill):
    """Loops over repetitions, parts and vectors, in float64; bits of parts written out."""
    out = []
    planes = np.asarray(matrices.planes, np.float64)
    k = planes.shape[2]
    x = np.asarray(points, np.float64)
    for r in range(len(planes)):
        bits = [[int(v > 0) for v in row] for row in x @ planes[r]]
        y = x if matrices.projection is None else x @ np.asarray(matrices.projection[r], np.float64)
        for part in range(2**k):
            wanted = [((part ^ (part >> 1)) >> (k - 1 - i)) & 1 for i in range(k)]
            members = [v for v, b in zip(y, bits, strict=True) if b == wanted]
            block = np.zeros(y.shape[1])
            if members:
                block = np.sum(members, axis=0) / (len(members) if average else 1)
            elif fill and k and len(y):
                differ = [sum(a != b for a, b in zip(row, wanted, strict=True)) for row in bits]
                block = y[int(np.argmin(differ))]
            out.append(block)
    return np.concatenate(out)


@pytest.fixture(scope='module')
def sets():
    """Sets of 6, 1, 0, 4, ... vectors, NaN in the padding."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 6, 5)).astype(np.float32)
    mask = np.arange(6)[None] < np.array([6, 1, 0, 4, 2, 6, 3])[:, None]
    mask[3] = [False, True, True, False, True, True]
    return np.where(mask[..., None], x, np.float32(np.nan)), mask


@pytest.mark.parametrize('projection_dim', [None, 3])
def test_encodings_agree_with_loops_under_masks_and_in_chunks(sets, projection_dim):
    x, mask = sets
    matrices = draw(
        jax.random.key(1), 5, num_repetitions=3, num_planes=4, projection_dim=projection_dim
    )
    given = jnp.asarray(x), matrices, jnp.asarray(mask)
    expected = lambda **how: [  # noqa: E731
        oracle(row[kept], matrices, **how) for row, kept in zip(x, mask, strict=True)
    ]
    close = dict(rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(query_encoding(*given), expected(average=False, fill=False), **close)
    filled = document_encoding(*given, chunk_size=3)
    np.testing.assert_allclose(filled, expected(average=True, fill=True), **close)
    hollow = document_encoding(*given, fill_empty=False)
    np.testing.assert_allclose(hollow, expected(average=True, fill=False), **close)
    np.testing.assert_array_equal(filled[2], 0.0)


def test_gray_code_numbers_all_patterns_and_neighbours_differ_in_one_bit():
    k = 4
    patterns = (np.arange(2**k)[:, None] >> np.arange(k)[None, ::-1]) & 1 == 1
    index = np.asarray(gray_index(jnp.asarray(patterns)))
    assert sorted(index) == list(range(2**k))
    in_order = patterns[np.argsort(index)]
    assert (np.sum(in_order[1:] != in_order[:-1], axis=1) == 1).all()


def test_a_zero_vector_lies_on_no_positive_side():
    planes = jnp.ones((2, 3))
    assert simhash_partition(jnp.zeros((1, 2)), planes).tolist() == [0]
    assert simhash_partition(jnp.ones((2, 2)), jnp.zeros((2, 0))).tolist() == [0, 0]


def test_without_planes_a_document_is_its_mean_and_a_query_its_sum(sets):
    x, mask = sets
    matrices = draw(jax.random.key(0), 5, num_repetitions=1, num_planes=0)
    given = jnp.asarray(x), matrices, jnp.asarray(mask)
    total = np.where(mask[..., None], x, 0).sum(1)
    np.testing.assert_allclose(query_encoding(*given), total, rtol=1e-5, atol=1e-6)
    mean = total / np.maximum(mask.sum(1), 1)[:, None]
    np.testing.assert_allclose(document_encoding(*given), mean, rtol=1e-5, atol=1e-6)


def test_encodings_do_not_depend_on_the_order_of_the_vectors_but_for_ties(sets):
    x, mask = (a[[0, 5]] for a in sets)
    matrices = draw(jax.random.key(2), 5, num_repetitions=2, num_planes=2)
    for encode in (query_encoding, lambda *a: document_encoding(*a, fill_empty=False)):
        there = encode(jnp.asarray(x), matrices, jnp.asarray(mask))
        back = encode(jnp.asarray(x[:, ::-1]), matrices, jnp.asarray(mask[:, ::-1]))
        np.testing.assert_allclose(there, back, rtol=1e-5, atol=1e-6)


def test_count_sketch_keeps_inner_products_on_average():
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(size=(2, 30)).astype(np.float32))
    index, sign = rng.integers(8, size=(2000, 30)), rng.choice([-1.0, 1.0], size=(2000, 30))
    sketches = CountSketch(jnp.asarray(index, jnp.int32), jnp.asarray(sign, jnp.float32))
    y = jax.vmap(lambda s: count_sketch(x, s, 8))(sketches)
    products = np.sum(y[:, 0] * y[:, 1], axis=1)
    error = products.std() / 2000**0.5
    assert abs(products.mean() - float(x[0] @ x[1])) < 4 * error


@pytest.mark.parametrize('projection', ['dense', 'count_sketch'])
def test_projections_keep_inner_products_on_average(projection):
    matrices = draw(jax.random.key(4), 6, num_repetitions=4000, num_planes=1, projection_dim=4,
                    projection=projection)  # fmt: skip
    gram = np.einsum('rdp,rep->de', *(np.asarray(matrices.projection),) * 2) / 4000
    np.testing.assert_allclose(gram, np.eye(6), atol=0.05)


def test_the_approximation_improves_with_repetitions():
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(12, 8))
    x = centres[rng.integers(12, size=(30, 5))] + 0.2 * rng.normal(size=(30, 5, 8))
    x = jnp.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True), jnp.float32)
    exact = np.asarray(chamfer_scores(x[:10, :3], x[10:]))
    found = []
    for repetitions in (1, 32):
        matrices = draw(jax.random.key(6), 8, num_repetitions=repetitions, num_planes=3)
        scores = query_encoding(x[:10, :3], matrices) @ document_encoding(x[10:], matrices).T
        # With all empty parts filled, every query vector meets one vector of the document.
        assert (np.asarray(scores) / repetitions <= exact + 1e-4).all()
        found.append(np.corrcoef(np.ravel(scores), exact.ravel())[0, 1])
    assert found[1] > max(found[0] + 0.05, 0.75)


def test_gradients_are_those_of_a_linear_map_and_zero_in_padding(sets):
    x, mask = jnp.asarray(sets[0]), jnp.asarray(sets[1])
    matrices = draw(jax.random.key(7), 5, num_repetitions=2, num_planes=2, projection_dim=3,
                    final_dim=6)  # fmt: skip
    encode = lambda x: document_encoding(x, matrices, mask, final_dim=6)  # noqa: E731
    value, pull = jax.vjp(encode, x)
    (grad,) = pull(jnp.ones_like(value))
    assert np.isfinite(grad).all() and not np.asarray(grad)[~np.asarray(mask)].any()
    inside = jnp.where(mask[..., None], x, 0.0)
    # Parts stay as they are along x, so that the encoding is linear in it.
    np.testing.assert_allclose(jnp.sum(grad * inside), jnp.sum(value), rtol=1e-4)


def test_nothing_to_encode_is_zero():
    matrices = draw(jax.random.key(0), 4, num_repetitions=2, num_planes=2)
    assert document_encoding(jnp.zeros((0, 3, 4)), matrices).shape == (0, 32)
    np.testing.assert_array_equal(
        document_encoding(jnp.zeros((2, 0, 4)), matrices), np.zeros((2, 32))
    )


def test_wrong_arguments_are_named():
    options = dict(num_repetitions=1, num_planes=1)
    for changed, message in (
        (dict(num_planes=31), 'num_planes: expected 0 .. 30, got 31'),
        (dict(num_planes=-1), 'num_planes'),
        (dict(num_repetitions=0), 'num_repetitions'),
        (dict(projection='sparse'), "projection: .* got 'sparse'"),
        (dict(projection_dim=0), 'projection_dim'),
        (dict(final_dim=0), 'final_dim'),
    ):
        with pytest.raises(ValueError, match=message):
            draw(jax.random.key(0), 4, **{**options, **changed})
    matrices = draw(jax.random.key(0), 4, **options)
    with pytest.raises(ValueError, match='final_dim: expected together with matrices.sketch'):
        query_encoding(jnp.ones((1, 2, 4)), matrices, final_dim=3)
    with pytest.raises(ValueError, match='chunk_size'):
        query_encoding(jnp.ones((1, 2, 4)), matrices, chunk_size=0)
