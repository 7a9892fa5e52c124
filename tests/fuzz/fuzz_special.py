"""What the annotations of losses and metrics do not say about their arguments.

`BY_NAME` holds for every function that has an argument of that name, `SPECIAL` for one function.
"""

import fuzz_values as values
import numpy as np
from fuzz_losses import LOSSES
from fuzz_makers import CLASSES, Fixed, Pattern, Special, class_count
from fuzz_metrics import METRICS

BY_NAME = {
    'num_classes': Fixed(class_count),
    'num_clusters': Fixed(class_count),
    'num_groups': Fixed(CLASSES),
    'temperature': Pattern(values.between(0.05, 2.0)),
    'max_steps': Fixed(20),
    'noise': Pattern(values.normal),
    # Variances from 1e-26 to 1e26: those of others are not representable beside their inverses.
    'log_variance': Pattern(values.between(-60.0, 60.0)),
    'logvar': Pattern(values.between(-60.0, 60.0)),
}

INFINITE = {
    'losses.isogclr.rgcl': 'unseen sample has log_inner_mean = -inf',
    'losses.isogclr.rgcl_squared_hinge': 'unseen sample has log_inner_mean = -inf',
    'losses.isogclr.gcl': 'unseen sample has log_inner_mean = -inf',
    'losses.isogclr.sogclr': 'unseen sample has log_inner_mean = -inf',
    'metrics.clusters.davies_bouldin': 'Infinite where two classes share their mean',
    'metrics.neighbors.weighted_knn_log_scores': '-inf for classes without a neighbour',
    **{
        f'metrics.mapss_intervals.{name}': 'NaN comes where it is singular'
        for name in ('pm_radii', 'reference_energies', 'solved_energy')
    },
    'metrics.probes.logistic_probe': 'gets bias -inf',
    'metrics.probes.ridge_probe': 'gets bias -inf',
    'metrics.separation.bss_eval': 'inf where there is no such error',
    'metrics.separation.energy_ratio': 'inf without an error',
    **{
        f'metrics.scatter.{name}': 'A ratio whose denominator is 0 is infinite'
        for name in (
            'fisher_ratio_per_feature',
            'fisher_trace_ratio',
            'fisher_trace_ratio_balanced',
            'fisher_max_eigenvalue',
            'fisher_logdet_ratio',
            'fisher_ratio_two_class',
            'pairwise_fisher_ratio',
        )
    },
    'metrics.clusters.calinski_harabasz': 'Infinite where every class is a point',
}

SQUARES = (0.0, 1e15), 'beyond 1e18'
LIMITS = {
    **{
        f'losses.club.{name}': ((0.0, 1e4), 'over variances overflow float32 beyond 1e38')
        for name in ('gaussian_nll', 'club', 'sampled_club')
    },
    'losses.cmim.gaussian_log_prob': SQUARES,
    'losses.sgns.sgns_loss': SQUARES,
    **{f'losses.sphere.{name}': SQUARES for name in ('alignment', 'uniformity')},
    **{
        f'losses.sepclr.{name}': SQUARES
        for name in ('kernel_alignment', 'joint_entropy', 'supervised_alignment', 'sepclr_terms')
    },
    **{
        f'losses.separation.{name}': ((0.0, 1e8), 'beyond 1e9')
        for name in ('decibels', 'pairwise_losses', 'mixture_invariant', 'magnitude_l1')
    },
    **{
        f'metrics.scatter.{name}': ((0.0, 1e15), 'Sums of squares must be')
        for name in ('within_scatter', 'between_scatter')
    },
    'metrics.multiplexing.shared_table': SQUARES,
    'metrics.local_cka.local_cka': ((1e-4, 1e4), 'up to 1e8 in float32'),
}

SPECIAL = {
    **{f'losses.{name}': given for name, given in LOSSES.items()},
    **{f'metrics.{name}': given for name, given in METRICS.items()},
}

for _name in {*INFINITE, *LIMITS}:
    _limits, _limited = LIMITS.get(_name, ((0.0, np.inf), ''))
    SPECIAL[_name] = SPECIAL.get(_name, Special())._replace(
        infinite=INFINITE.get(_name, ''), limits=_limits, limited=_limited
    )

EXCLUDED = {
    'losses.contrastive.check_temperature': 'returns nothing',
    'losses.contrastive_behaviour.num_hard_negatives': 'numbers to a number',
    'losses.separation.shares': 'numbers to a constant array',
    'metrics.incremental.session_ends': 'numbers to numbers',
    'metrics.incremental.harmonic_mean': 'two numbers',
    'metrics.mapss.check_map': 'returns nothing',
    'metrics.mapss_intervals.check_delta': 'returns nothing',
}
