"""Every test runs on 8 virtual CPU devices, strict about ranks and shapes.

Programs are compiled with little optimisation, since each runs a few times only, and kept in
jax's persistent cache. Imports of jaxsep go through jaxtyping's hook, so that each annotated
signature is checked at each call.
"""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
os.environ['XLA_FLAGS'] = ' '.join(
    (
        os.environ.get('XLA_FLAGS', ''),
        '--xla_force_host_platform_device_count=8',
        '--xla_backend_optimization_level=0',
        '--xla_llvm_disable_expensive_passes=true',
    )
)
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(ROOT / '.jax_cache'))
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.02'
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'agg')

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

jax.config.update('jax_numpy_rank_promotion', 'raise')
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
