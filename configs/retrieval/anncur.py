"""ANNCUR on digits: the best of 1,597 items by Chamfer score, for 100 exact scores a query.

Command: python -m jaxsep.main --config=configs/retrieval/anncur.py:small --workdir=runs/anncur
Metric: test/recall@10, share of the 10 best items that are found
Measured: test/recall@10 0.858 +- 0.033, 0 s a run, seeds 0, 1, 2

25 of the exact scores are those of the anchor items, 75 those of the items looked at again.
full is entity linking with a cross-encoder of the user's, whose scores are in an .npz.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full."""
    config = get_defaults()
    config.method = 'retrieval/anncur'
    config.make = dict(num_anchors=25, rtol=1e-5, put_back=True)
    config.data = dict(name='patch_scores', num_anchor_queries=100, num_test_queries=100, seed=0)
    config.batch_size = 64
    config.evals = dict(rerank_recall=dict(num_retrieved=75, ks=(1, 10, 50)))
    config.report = False  # items and queries are rows of different kinds
    if arg == 'smoke':
        config.data.update(num_anchor_queries=12, num_test_queries=16)
        config.make.num_anchors = 5
        config.evals.rerank_recall.num_retrieved = 60
    elif arg == 'full':
        config.data = dict(name='npz:zeshel_scores.npz')
        config.make.num_anchors = 200
        config.evals.rerank_recall.num_retrieved = 300
        config.evals.rerank_recall.ks = (1, 10, 50, 100)
    elif arg != 'small':
        raise ValueError(f"arg: expected 'smoke', 'small' or 'full', got {arg!r}")
    return config
