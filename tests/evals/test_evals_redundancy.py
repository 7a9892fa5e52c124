import numpy as np
import pytest
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor

from jaxsep.evals import redundancy


def splits(n=60, noise=0.1):
    rng = np.random.default_rng(0)

    def split(n):
        x = rng.normal(size=(n, 2)).astype(np.float32)
        y = np.stack([x[:, 0], 5 * x[:, 0] * x[:, 1]], 1) + noise * rng.normal(size=(n, 2))
        return {'x': x, 'y': y.astype(np.float32), 'other': rng.normal(size=(n, 2))}

    return {'train': split(n), 'test': split(40)}


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_it_is_the_variance_weighted_r2_of_scikit_learn(metric):
    data = splits()
    train, test = data['train'], data['test']
    model = KNeighborsRegressor(5, metric=metric).fit(train['x'], train['y'])
    want = r2_score(test['y'], model.predict(test['x']), multioutput='variance_weighted')
    got = redundancy.evaluate(data, of='y', given='x', k=5, metric=metric)
    assert got == {'redundancy': pytest.approx(want, rel=1e-5)}


def test_an_output_tells_itself_and_not_an_independent_one():
    data = splits(2000)
    assert redundancy.evaluate(data, of='x', given='x', k=3)['redundancy'] > 0.98
    assert redundancy.evaluate(data, of='x', given='other', k=50)['redundancy'] < 0.05


def test_a_constant_output_has_no_variance_to_explain():
    data = splits()
    for split in data.values():
        split['y'] = np.ones_like(split['y'])
    assert redundancy.evaluate(data, of='y', given='x') == {'redundancy': 0.0}


@pytest.mark.parametrize(
    'options, message',
    [
        ({'of': 'z'}, "no column 'z' in split 'train'; there are: other, x, y"),
        ({'k': 61}, 'between 1 and the 60 training points, got 61'),
        ({'metric': 'dot'}, "got 'dot'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        redundancy.evaluate(splits(), **{'of': 'y', 'given': 'x', **options})
