"""What the annotations of the metrics do not say: one entry for a function, under `<module>.<name>`."""

import fuzz_values as values
import numpy as np
from fuzz_makers import (
    ASCENDING,
    BOXES,
    CLASSES,
    COSINES,
    COUNTS,
    DESCENDING,
    MAGNITUDES,
    POSITIVE,
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
    class_count,
    cloud,
    few,
    integers,
    permutation,
)

MAPS = {
    'coordinates': COSINES,
    'differences': COSINES,
    'num_kept': Build(lambda rng, s: np.int32(rng.integers(1, s.get('k', 2) + 1))),
    'num_dims': Build(lambda rng, s: np.int32(rng.integers(1, s.get('k', 2) + 1))),
    'distances': MAGNITUDES,
    'eigenvalues': SHARES,
    'degrees': POSITIVE,
    'variances': SHARES,
    **dict.fromkeys(('squared', 'output', 'energy'), POSITIVE),
    'delta': Fixed(0.05),
    'ridge': Pattern(lambda rng, shape: np.full(shape, 1e-6)),
    'counts': integers(0, lambda s: s['p'], 's'),
    **dict.fromkeys(
        ('u', 'w', 'rest', 'outputs', 'outputs_rest', 'rows', 'dual', 'loadings', 'mean'), COSINES
    ),
    **dict.fromkeys(('left', 'right', 'r', 'inverse', 'outside', 'x'), COSINES),
}

METRICS = {
    'all_pairs.all_pairs': Special(
        {
            'labels': Build(lambda rng, s: [rng.integers(0, CLASSES, s['n']) for _ in range(2)]),
            'num_classes': Fixed((CLASSES, CLASSES)),
            'k': few('n', 3),
            'progress': Fixed(None),
        },
        at_least(n=2),
        on_host=True,
    ),
    'all_pairs.silhouette_from_sums': Special({'sums': MAGNITUDES}, on_host=True),
    'all_pairs.purity_curve': Special({'neighbors': Below(lambda s: s['n'])}, on_host=True),
    'binary.exact_auc': Special(on_host=True),
    'binary.logloss': Special({'probabilities': SHARES}),
    **{
        f'bjontegaard.{name}': Special(
            {
                **{f'{side}_rate': Build(values.rates) for side in ('anchor', 'test')},
                **{f'{side}_quality': Build(values.qualities) for side in ('anchor', 'test')},
                'fit': Fixed(variants=('pchip', 'cubic', 'akima')),
            },
            on_host=True,
        )
        for name in ('bd_rate', 'bd_quality')
    },
    'coco_ap.coco_ap': Special(
        {'boxes': BOXES, 'area': MAGNITUDES, 'scores': SHARES}, on_host=True
    ),
    'coding_length.coding_length': Special({'x': UNIT}),
    **{
        f'compatibility.{name}': Special({'matrix': SHARES}, at_most(t=50))
        for name in (
            'violations',
            'average_compatibility',
            'average_accuracy',
            'self_and_cross_accuracy',
        )
    },
    'dictionaries.babel': Special({'largest': few('m', 3)}, at_least(m=2)),
    'dictionaries.conditional_orthogonality': Special({'parent_of': Below(lambda s: s['p'])}),
    'dictionaries.matched_cosines': Special(
        sizes=lambda s: {'m': min(s['m'], 30), 'p': min(s['p'], s['m'], 30)}
    ),
    'dimension.twonn': Special({'nearest': ASCENDING}),
    'dimension.twonn_mle': Special({'nearest': ASCENDING}),
    'dimension.nearest_two_distances': Special(sizes=at_least(n=3)),
    'dimension.intrinsic_dimension': Special(sizes=at_least(n=3)),
    'incremental.session_accuracies': Special(
        {'sizes': Fixed(lambda s: (1, *(1,) * (s['k'] > 1))), 'labels': Below(lambda s: s['k'])},
        on_host=True,
    ),
    'incremental.summary': Special(
        dict.fromkeys(('accuracy', 'base_accuracy', 'new_accuracy', 'new_as_base'), SHARES),
        on_host=True,
    ),
    **{
        f'mapss{module}.{name}': Special(MAPS, cloud)
        for module, names in (
            (
                '',
                (
                    'subgaussian_norm',
                    'precision',
                    'apply_precision',
                    'squared_mahalanobis',
                    'clusters_of',
                    'ps',
                    'distances_to',
                    'own_and_nearest',
                    'pm',
                    'gamma_tail',
                    'rank_tail',
                    'kept_only',
                    'from_mean',
                    'lower_median',
                ),
            ),
            (
                '_intervals',
                (
                    'num_dropped',
                    'covariance_ridges',
                    'ps_radii',
                    'spectrum',
                    'residual_distances',
                    'solved_energy',
                    'pm_radii',
                    'reference_energies',
                    'box_radii',
                ),
            ),
        )
        for name in names
    },
    **{
        f'mapss{name}': Special({**MAPS, 'clusters': Fixed(None)}, cloud)
        for name in ('.ps', '_intervals.ps_radii')
    },
    'mapss.distances_to': Special({**MAPS, 'clusters': Build(values.clusters)}, cloud),
    'mapss.diffusion_map': Special(sizes=lambda s: {'n': min(max(s['n'], 2), 60)}),
    'scatter.class_counts': Special({'labels': Below(class_count)}),
    'multiplexing.shared_table': Special({'rows': Below(lambda s: s['m']), 'labels': SHARES}),
    **{
        f'neighbors.{name}': Special(
            {
                'k': few('n', 3),
                'ks': Fixed((1, 2)),
                'metric': Fixed(variants=('euclidean', 'cosine')),
            },
            at_least(n=3),
        )
        for name in (
            'nearest',
            'knn_predict',
            'leave_one_out_knn',
            'thornton',
            'neighbor_purity',
            'weighted_knn_log_scores',
            'weighted_knn_scores',
        )
    },
    'neighbors.majority_vote': Special(
        {'num_classes': Fixed(CLASSES), 'neighbor_labels': Below(CLASSES)}
    ),
    'clusters.silhouette_samples': Special({'metric': Fixed(variants=('euclidean', 'cosine'))}),
    'clusters.silhouette': Special({'metric': Fixed(variants=('euclidean', 'cosine'))}),
    'partitions.normalized_mutual_information': Special(
        {'num_a': Fixed(CLASSES), 'num_b': Fixed(CLASSES)}
    ),
    **{
        f'ranking.{name}': Special(
            {
                'k': Fixed(variants=(1, 5)),
                'grades': Pattern(values.counts),
                'gain': Fixed(variants=('linear', 'exponential')),
                'over': Fixed(variants=('with_positive', 'all')),
            }
        )
        for name in (
            'ranking',
            'recall_any',
            'recall_frac',
            'precision',
            'mean_reciprocal_rank',
            'ndcg',
            'average_precision',
            'bundle_metrics',
        )
    },
    'retrieval.recall_at_k': Special({'ks': Fixed((1, 5))}),
    'retrieval.recall_across_groups': Special({'ks': Fixed((1, 5)), 'groups': Below(CLASSES)}),
    'scatter.fisher_ratio_two_class': Special({'num_classes': Fixed(2), 'labels': Below(2)}),
    **{
        f'segmentation.{name}': Special({'counts': COUNTS, 'background': Fixed(variants=(None, 0))})
        for name in (
            'present',
            'iou',
            'dice',
            'mean_iou',
            'mean_dice',
            'foreground',
            'pixel_accuracy',
        )
    },
    'segmentation.confusion': Special(
        {'predicted': Build(values.classes), 'truth': Build(values.pixels)}
    ),
    'separation.bss_eval': Special(
        {'filter_length': Fixed(4), 'estimates': Shaped(lambda s: (s['n'], s['t']))},
        lambda s: {'n': min(s['n'], 3), 't': 60},
    ),
    'separation.sdr': Special({'estimates': Shaped(lambda s: (*s['...'], s['t']))}),
    'separation.si_sdr': Special({'estimates': Shaped(lambda s: (*s['...'], s['t']))}),
    'separation.correlations': Special({'length': Fixed(8)}),
    'separation.segmental_snr': Special(
        {'rate': Fixed(500), 'estimate': Shaped(lambda s: (s['t'],))}, at_least(t=60)
    ),
    'neural_collapse.equiangularity': Special(sizes=at_least(k=2)),
    'neural_collapse.etf_distance_of_weights': Special(sizes=at_least(k=2)),
    'neural_collapse.etf_distance_of_products': Special(sizes=at_least(k=2)),
    **{
        f'similarity.{name}': Special(
            {
                'kernel': Fixed(variants=('linear', 'rbf')),
                'unbiased': Fixed(variants=(False, False, True)),
                'k': few('n', 3),
                'fraction': Fixed(0.99),
                'singular_values': DESCENDING,
            },
            lambda s: {axis: max(s['n'], 4) for axis in ('n', 'm')} if 'n' in s else {},
        )
        for name in (
            'cka',
            'linear_cka',
            'mutual_knn',
            'cycle_knn',
            'cknna',
            'cca',
            'svcca',
            'pwcca',
            'procrustes_distance',
            'linear_regression_r2',
            'leading_directions',
        )
    },
    'spatial_search.spatial_search_distances': Special(
        {'reduction': Fixed(variants=('mean', 'sum', 'min'))}
    ),
    'sparsity.hoyer': Special(sizes=at_least(m=2)),
    'spectrum.singular_values': Special({'centered': Fixed(variants=(True, False))}),
    'spectrum.gram_singular_values': Special({'gram': Pattern(values.gram)}),
    **{
        f'spectrum.{name}': Special(
            {'singular_values': DESCENDING, 'singular_values_of_centered': DESCENDING}
        )
        for name in (
            'rankme',
            'effective_rank',
            'effective_rank_of_covariance',
            'participation_ratio',
            'stable_rank',
            'numerical_rank',
        )
    },
    'unit_matching.merge_moments': Special(
        {'one': Build(values.moments), 'other': Build(values.moments)}
    ),
    'unit_matching.correlation_of_moments': Special({'moments': Build(values.moments)}),
    'unit_matching.bin_of': Special({'edges': ASCENDING}, at_least(m=2)),
    'unit_matching.mutual_information': Special({'counts': COUNTS}),
    'unit_matching.bipartite_match': Special(sizes=at_most(n=30)),
    'unit_matching.matched_values': Special({'order': Below(lambda s: s['q'])}),
    'unit_matching.permute_columns': Special({'order': Below(lambda s: s['q'])}),
    'unit_matching.permute_rows': Special({'order': Below(lambda s: s['p'])}),
    'unit_matching.follow_loops': Special({'order': permutation('n')}, on_host=True),
}
