"""Every test runs on 8 virtual CPU devices, strict about ranks and shapes.

Imports of jaxsep go through jaxtyping's hook, so that each annotated signature is
checked at each call. Compiled programs are kept in jax's persistent cache.
"""

import os
import pathlib

os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'agg')

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_compilation_cache_dir', str(ROOT / '.jax_cache'))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
jaxtyping.install_import_hook('jaxsep', 'beartype.beartype')


@pytest.fixture(scope='session')
def golden():
    """golden('ppp') -> dict of the arrays the paper's original code computed."""

    def load(slug):
        with np.load(ROOT / 'tests' / 'golden' / f'{slug}.npz', allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    return load


@pytest.fixture
def float64():
    """Runs one test in double precision."""
    with jax.enable_x64(True):
        yield
