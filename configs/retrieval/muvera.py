"""MUVERA on the glosses of WordNet: word vectors of MiniLM, one encoding per gloss and per word.

Command: python -m jaxsep.main --config=configs/retrieval/muvera.py:small --workdir=runs/muvera
Metric: test/recall@10, of the gloss of largest Chamfer similarity
Measured: test/recall@10 0.609 +- 0.032, 8 s a run, seeds 0, 1, 2

Words are looked up in a dictionary: the right gloss is that of the query's own row. The vectors are
those after layer 4 of 6. Behind the last, which was trained for mean pooling, all words of a gloss
are so much alike that their mean does as well as the set.
smoke and digits are digits as sets of patches. full is sets of vectors of the user's, say MS MARCO by
ColBERTv2, in an .npz (see jaxsep/data/sets/multivector.py), with the settings of the paper's search.
"""

from configs.defaults import get_defaults


def get_config(arg='small'):
    """The config of one size: smoke, small or full; or of the digits of the experiment."""
    config = get_defaults()
    config.method = 'retrieval/muvera'
    config.make = dict(
        num_repetitions=20, num_planes=4, projection_dim=32, fill_empty=True, keep_sets=True
    )
    config.batch_size = 64
    config.evals = dict(chamfer_recall=dict(ks=(1, 5, 10, 50), single_vector=True))
    if arg == 'small':
        config.data = dict(
            name='wordnet', parts=('noun',), max_synsets=2200, query_length=8, test_fraction=10 / 11,
            seed=0,
        )  # fmt: skip
        config.encoder = dict(
            name='minilm',
            columns=dict(tokens='document', query_tokens='query'),
            outputs=('vectors',),
            special_tokens=False,
            layer=4,
        )
        config.evals.chamfer_recall.own_row = True
        config.eval_batch_size = 200
        config.report = False  # thousands of classes of one row, in 10,240 dimensions
    elif arg == 'digits':
        config.data = dict(name='patch_sets', seed=0)
        config.make.projection_dim = None
    elif arg == 'smoke':
        config.data = dict(name='patch_sets', num_queries=16, num_documents=96, seed=0)
        config.make.update(num_repetitions=3, num_planes=2, projection_dim=8)
        config.evals.chamfer_recall.ks = (1, 10)
    elif arg == 'full':
        config.data = dict(name='multivector:colbert_vectors.npz', max_document_size=180)
        config.make.update(num_planes=5, projection_dim=16, keep_sets=False)
        config.evals = dict(ranking=dict(ks=(100, 1000)))
        config.report = False
    else:
        raise ValueError(f"arg: expected 'smoke', 'small', 'full' or 'digits', got {arg!r}")
    return config
