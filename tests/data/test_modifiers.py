import numpy as np
import pytest

from jaxsep.data import modifiers
from jaxsep.data.source import Arrays, Rows, Source, take_all


def source(counts=(20, 20, 20), lazy=False):
    label = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    label = label.astype(np.int32)
    train = Arrays({'features': np.arange(len(label), dtype=np.float32)[:, None], 'label': label})
    test = Arrays(
        {'features': np.zeros((6, 1), np.float32), 'label': np.arange(6, dtype=np.int32) % 3}
    )
    if lazy:
        train = Rows(train, np.arange(len(train)), {})
    return Source({'train': train, 'test': test}, {'label': tuple('abcd'[: len(counts)])})


def counts(changed, split='train'):
    return np.bincount(take_all(changed.splits[split])['label'], minlength=3).tolist()


def same_rows(ours, theirs):
    return all(np.array_equal(take_all(ours)[name], v) for name, v in take_all(theirs).items())


@pytest.mark.parametrize('lazy', [False, True])
def test_long_tail_falls_exponentially(lazy):
    """n_c = n_max r^(-c / (C - 1)): 20, 20 / sqrt(4) and 20 / 4."""
    changed = modifiers.long_tail(source(lazy=lazy), 4.0)
    assert counts(changed) == [20, 10, 5]
    assert same_rows(changed.splits['test'], source().splits['test'])


def test_long_tail_takes_no_more_than_there_is_and_leaves_one():
    assert counts(modifiers.long_tail(source((8, 2, 20)), 1000.0)) == [8, 1, 1]
    assert counts(modifiers.long_tail(source((5, 5, 0)), 5.0)) == [5, 1, 0]


def test_long_tail_of_ratio_one_changes_nothing():
    assert same_rows(modifiers.long_tail(source(), 1.0).splits['train'], source().splits['train'])


def test_rows_that_stay_keep_their_order_and_are_counted_anew():
    taken = take_all(modifiers.long_tail(source(), 4.0).splits['train'])
    assert (np.diff(taken['features'][:, 0]) > 0).all()
    np.testing.assert_array_equal(taken['index'], np.arange(35))


def test_counts_are_exact():
    assert counts(modifiers.with_counts(source(), (3, 0, 20))) == [3, 0, 20]


def test_the_seed_chooses_other_rows():
    first, second = (modifiers.with_counts(source(), (5, 5, 5), seed=s) for s in (0, 1))
    assert not same_rows(first.splits['train'], second.splits['train'])


@pytest.mark.parametrize('kind', ['symmetric', 'pair'])
def test_exactly_the_given_share_is_wrong_and_the_truth_is_kept(kind):
    changed = modifiers.label_noise(source(), 0.3, kind=kind)
    taken, before = take_all(changed.splits['train']), take_all(source().splits['train'])
    np.testing.assert_array_equal(taken['label_clean'], before['label'])
    wrong = taken['label'] != before['label']
    assert wrong.sum() == round(0.3 * 60)
    shift = (taken['label'] - before['label'])[wrong] % 3
    assert set(shift.tolist()) == ({1, 2} if kind == 'symmetric' else {1})
    test = take_all(changed.splits['test'])
    np.testing.assert_array_equal(test['label'], test['label_clean'])
    assert changed.labels['label_clean'] == ('a', 'b', 'c')


def test_no_noise_changes_no_label():
    taken = take_all(modifiers.label_noise(source(), 0.0).splits['train'])
    np.testing.assert_array_equal(taken['label'], taken['label_clean'])


@pytest.mark.parametrize('classes', [('c', 'a'), (2, 0)])
def test_selected_classes_are_numbered_in_the_order_given_in_all_splits(classes):
    changed = modifiers.select_classes(source((5, 6, 7)), classes)
    assert changed.labels['label'] == ('c', 'a')
    assert counts(changed)[:2] == [7, 5]
    assert counts(changed, 'test')[:2] == [2, 2]


@pytest.mark.parametrize('seed', [None, 0])
def test_sessions_are_disjoint_in_classes_and_complete(seed):
    changed = modifiers.class_sessions(source((5, 6, 7)), (1, 2), seed=seed)
    parts = [take_all(changed.splits[f'train/{s}'])['label'] for s in (0, 1)]
    assert [len(set(p.tolist())) for p in parts] == [1, 2]
    np.testing.assert_array_equal(np.bincount(np.concatenate(parts)), [5, 6, 7])
    assert same_rows(changed.splits['train'], source((5, 6, 7)).splits['train'])


def test_few_shots_thin_new_classes_and_leave_base_classes_whole():
    thin = modifiers.few_shots(source((5, 6, 2)), first=1, shots=3)
    np.testing.assert_array_equal(np.bincount(take_all(thin.splits['train'])['label']), [5, 3, 2])


@pytest.mark.parametrize('order_seed', [None, 1])
def test_rehearsal_is_the_new_classes_and_some_rows_of_every_earlier_one(order_seed):
    given = source((6, 6, 6, 6))
    parts = modifiers.class_sessions(given, (1, 2, 1), seed=order_seed).splits
    later = modifiers.rehearsal(given, (1, 2, 1), 1, exemplars=2, order_seed=order_seed)
    values = take_all(later.splits['train'])['label']
    new = set(take_all(parts['train/1'])['label'].tolist())
    old = set(take_all(parts['train/0'])['label'].tolist())
    counts = np.bincount(values, minlength=4)
    assert {c for c in range(4) if counts[c] == 6} == new
    assert {c for c in range(4) if counts[c] == 2} == old
    assert len(later.splits['test']) == len(given.splits['test'])
    first = modifiers.rehearsal(given, (1, 2, 1), 0, exemplars=2, order_seed=order_seed)
    assert set(take_all(first.splits['train'])['label'].tolist()) == old


def test_a_balanced_memory_is_repeated_until_it_is_half():
    balanced = modifiers.rehearsal(source((6, 6)), (1, 1), 1, exemplars=2, balance=True)
    rows = take_all(balanced.splits['train'])
    np.testing.assert_array_equal(np.bincount(rows['label']), [6, 6])
    old = take_all(modifiers.rehearsal(source((6, 6)), (1, 1), 1, exemplars=2).splits['train'])
    assert np.bincount(old['label'])[0] == 2


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('long_tail', {'imbalance': 0.5}, 'imbalance: .* got 0.5'),
        ('long_tail', {'imbalance': 2, 'label': 'lable'}, 'did you mean label'),
        ('with_counts', {'counts': (1, 2)}, '3 classes, got 2'),
        ('with_counts', {'counts': (1, 2, 21)}, "'c' has 20 rows, got 21"),
        ('label_noise', {'rate': 1.5}, 'rate'),
        ('label_noise', {'rate': 0.5, 'kind': 'odd'}, "got 'odd'"),
        ('select_classes', {'classes': ('d',)}, "'d' is none of"),
        ('select_classes', {'classes': ()}, 'at least one'),
        ('class_sessions', {'sizes': (2, 2)}, 'at most 3'),
        ('few_shots', {'first': 4, 'shots': 1}, 'up to 3, got 4'),
        ('few_shots', {'first': 1, 'shots': 0}, 'at least 1'),
        ('rehearsal', {'sizes': (1, 2), 'session': 2}, '0 to 1, got 2'),
        ('rehearsal', {'sizes': (1, 2), 'session': 1, 'exemplars': -1}, 'got -1'),
    ],
)
def test_impossible_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(modifiers, name)(source(), **options)
