"""The separability report: how separable are these embeddings, and what separates them.

    from jaxsep.report import separability
    found = separability(embeddings, {'digit': labels})
    found['labels']['digit']['measures']['silhouette_euclidean']

or, without a line of code: `python -m jaxsep.report embeddings.npz --html report.html`.
jax is imported at the first use of a function, so that `--help` and errors in the input
answer at once.
"""

_WHERE = {
    'separability': 'measures',
    'compare': 'measures',
    'MEASURES': 'measures',
    'run_page': 'page',
}


def __getattr__(name: str):
    import importlib

    if name not in _WHERE:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_WHERE[name]}'), name)


def __dir__() -> list[str]:
    return sorted(_WHERE)
