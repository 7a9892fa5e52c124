"""Spectral clusters of features that are subspaces, and of those that are not."""

import numpy as np

from jaxsep.evals.spectral_clustering import evaluate


def test_subspaces_are_found_by_the_affinity_though_means_do_not_tell_them_apart():
    rng = np.random.default_rng(0)
    labels = np.repeat([4, 7], 20)
    x = np.zeros((40, 4), np.float32)
    for i, label in enumerate((4, 7)):
        rows = rng.normal(size=(20, 2)) + np.array([0.5, 0.0])
        x[labels == label, 2 * i : 2 * i + 2] = rows
    splits = {'train': {'z': x, 'c': x, 'digit': labels}}
    found = evaluate(
        splits, label='digit', output='z', affinity_output='c', temperature=0.05, candidates=(1, 2)
    )
    assert found['spectral_accuracy'] == 1 and found['spectral_nmi'] == 1
    assert found['kmeans_accuracy'] < 0.9
    assert found['rank'] == 4
    assert found['class_rank'] == found['largest_class_rank'] == 2
    assert found['best_num_clusters'] == 2
