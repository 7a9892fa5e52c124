"""Nearest class means of frozen features against training on one session after the other.

Ten digits come two at a time. Looked at on seeds 10 to 12: no encoder that could be trained here
gives better means than the pixels of such small, centred digits, and least one trained with the
labels of other classes; on silhouettes of animals a self-supervised encoder does. Fine-tuning
with ten rows of every class in memory comes close to the means of pixels, and is behind
on average over the seeds only.
"""

CLAIM = (
    'Means of frozen features need no training and lie far above training session by session; with '
    'a self-supervised encoder they rise where pixels are poor'
)
SOURCE = 'Janson et al., 2022, table 1'
SEEDED = ('seed', 'data.seed')

CONFIG = 'configs/incremental/nmc.py:'
RUNS = {
    'pixels': {'config': CONFIG + 'small'},
    'pretrained': {'config': CONFIG + 'pretrained'},
    'self-supervised': {'config': CONFIG + 'selfsupervised'},
    'fine-tuned': {'config': CONFIG + 'finetune'},
    'with memory': {'config': CONFIG + 'finetune_memory'},
    'cosine': {'config': CONFIG + 'small', 'overrides': {'make.metric': 'cosine'}},
    'LDA': {'config': CONFIG + 'small', 'overrides': {'make.metric': 'lda'}},
    'animals': {'config': CONFIG + 'animals'},
    'animals, self-supervised': {'config': CONFIG + 'animals_selfsupervised'},
}
AVERAGE, FINAL = 'test/average_incremental_accuracy', 'test/final_accuracy'
COMPARISONS = [
    {'metric': AVERAGE, 'larger': 'pixels', 'smaller': 'fine-tuned', 'margin': 0.3},
    {'metric': AVERAGE, 'larger': 'pretrained', 'smaller': 'fine-tuned', 'margin': 0.3},
    {'metric': AVERAGE, 'larger': 'self-supervised', 'smaller': 'fine-tuned', 'margin': 0.3},
    {'metric': FINAL, 'larger': 'pixels', 'smaller': 'with memory'},
    {
        'metric': AVERAGE,
        'larger': 'animals, self-supervised',
        'smaller': 'animals',
        'margin': 0.03,
    },
]


def draw(figure, values) -> None:
    """Average and final accuracy of every run."""
    axes = figure.subplots()
    for metric, marker, name in ((AVERAGE, 'o', 'average'), (FINAL, 's', 'after the last session')):
        for place, run in enumerate(values):
            axes.plot(
                values[run][metric], [place] * len(values[run][metric]), marker, alpha=0.6,
                color='C0' if metric == AVERAGE else 'C1', label=None if place else name,
            )  # fmt: skip
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.set_xlabel('accuracy on the classes seen so far')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
