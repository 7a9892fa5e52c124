"""The uniformity-tolerance curve over temperatures, and what hard negatives do to it."""

CLAIM = (
    'Small temperatures give uniform embeddings, large ones tolerant; '
    'keeping the hardest negatives rescues the linear loss'
)
SOURCE = 'Wang and Liu, 2021, sections 3 to 5 and table 1'

CONFIG = 'configs/contrastive/contrastive_behaviour.py:small'
TEMPERATURES = (0.1, 0.2, 0.3, 0.7, 1.0)


def softmax(temperature):
    """A run of the softmax loss; 0.3 is the config as it stands."""
    if temperature == 0.3:
        return {'config': CONFIG}
    return {'config': CONFIG, 'overrides': {'make.temperature': temperature}}


RUNS = {
    **{f'softmax {t}': softmax(t) for t in TEMPERATURES},
    'simple': {'config': CONFIG, 'overrides': {'make.loss': 'simple'}},
    'hard 1.0': {'config': CONFIG, 'overrides': {'make.loss': 'hard', 'make.temperature': 1.0}},
    'hard simple': {'config': CONFIG, 'overrides': {'make.loss': 'hard_simple'}},
}
KNN, UNIFORM, TOLERANT = 'test/knn_accuracy', 'test/negative_uniformity', 'test/tolerance'
COMPARISONS = [
    {'metric': KNN, 'larger': 'softmax 0.3', 'smaller': 'softmax 1.0'},
    {'metric': KNN, 'larger': 'softmax 1.0', 'smaller': 'simple', 'margin': 0.05},
    {'metric': KNN, 'larger': 'hard 1.0', 'smaller': 'softmax 1.0'},
    {'metric': KNN, 'larger': 'hard simple', 'smaller': 'simple', 'margin': 0.05},
    {'metric': UNIFORM, 'larger': 'softmax 0.1', 'smaller': 'softmax 1.0', 'margin': 0.1},
    {'metric': TOLERANT, 'larger': 'softmax 1.0', 'smaller': 'softmax 0.1', 'margin': 0.05},
]


def draw(figure, values):
    """Left: uniformity and tolerance over temperature. Right: accuracy of every loss."""
    left, right = figure.subplots(1, 2)
    shared = left.twinx()
    for axes, metric, mark in ((left, UNIFORM, 'o-'), (shared, TOLERANT, 's--')):
        color = 'C0' if axes is left else 'C1'
        means = [sum(values[f'softmax {t}'][metric]) / 3 for t in TEMPERATURES]
        axes.plot(TEMPERATURES, means, mark, color=color)
        for t in TEMPERATURES:
            numbers = values[f'softmax {t}'][metric]
            axes.plot([t] * len(numbers), numbers, mark[0], color=color, alpha=0.4)
        axes.set_ylabel(metric.removeprefix('test/').replace('_', ' '), color=color)
    left.set_xscale('log')
    left.set_xticks(TEMPERATURES, [str(t) for t in TEMPERATURES])
    left.minorticks_off()
    left.set_xlabel('temperature')
    for place, run in enumerate(values):
        right.plot([place] * len(values[run][KNN]), values[run][KNN], 'o', alpha=0.7)
    right.set_xticks(range(len(values)), list(values), rotation=40, ha='right', fontsize=7)
    right.set_ylabel('5-NN accuracy')
    right.grid(alpha=0.3)
