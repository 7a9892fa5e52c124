"""Every test runs on 8 virtual CPU devices, strict about ranks and shapes.

Programs are compiled with little optimisation, since each runs a few times only, and kept in
jax's persistent cache. Imports of jaxsep go through jaxtyping's hook, so that each annotated
signature is checked at each call.
"""

import functools
import gc
import hashlib
import importlib.metadata
import io
import os
import pathlib
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).parents[1]
ENOUGH_PROGRAMS, MOST_PROGRAMS = 100, 400
# The older code generator compiles in half the time; other versions refuse the flag.
KNOWN_TO_JAXLIB_0_10 = ('--xla_cpu_use_fusion_emitters=false',) * (
    importlib.metadata.version('jaxlib').startswith('0.10.')
)
os.environ['XLA_FLAGS'] = ' '.join(
    (
        os.environ.get('XLA_FLAGS', ''),
        '--xla_force_host_platform_device_count=8',
        '--xla_backend_optimization_level=0',
        '--xla_llvm_disable_expensive_passes=true',
        # Unsplit: each part of a program, for a thread of its own, costs more than there is to do.
        '--xla_cpu_parallel_codegen_split_count=1',
        *KNOWN_TO_JAXLIB_0_10,
    )
)
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(ROOT / '.jax_cache'))
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'agg')

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jaxtyping  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

jax.config.update('jax_numpy_rank_promotion', 'raise')
jaxtyping.install_import_hook('jaxsep', 'beartype.beartype')

from jaxsep import archives  # noqa: E402


def pytest_collection_finish(session):
    """What is there before the first test stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


class Programs:
    """What this process compiled since it last forgot, and the file of the test that did."""

    known, file = 0, None

    @classmethod
    def listen(cls, event, duration, **details):
        cls.known += event.endswith('/backend_compile_duration')


jax.monitoring.register_event_duration_secs_listener(Programs.listen)


def pytest_runtest_logstart(nodeid, location):
    """Forgets what was compiled before another file, if it is much, or in a file, if it is very much.

    A program keeps 2 MB and tens of mappings for as long as jax knows it. A thousand of them make
    the next twice as dear, and with more than the 65,530 mappings that Linux allows a process dies.
    """
    another_file, Programs.file = location[0] != Programs.file, location[0]
    if Programs.known > (ENOUGH_PROGRAMS if another_file else MOST_PROGRAMS):
        Programs.known = 0
        jax.clear_caches()
        gc.collect()


def pytest_terminal_summary(terminalreporter):
    """Says how many cases the fuzz tests of all workers have drawn."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    calls = [report for report in reports if getattr(report, 'when', '') == 'call']
    properties = [report.user_properties for report in calls]
    cases = [value for known in properties for name, value in known if name == 'cases']
    if cases:
        terminalreporter.write_line(f'{sum(cases):,} fuzz cases of {len(cases)} tests')


@pytest.fixture(scope='session')
def golden():
    """golden('ppp') -> dict of the arrays the paper's original code computed."""

    def load(slug):
        with np.load(ROOT / 'tests' / 'golden' / f'{slug}.npz', allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    return load


@pytest.fixture(scope='session')
def same_on_eight_devices():
    """check(loss, *rows): loss(*rows, axis_name=...) on 8 shards is the loss on all rows.

    Values and gradients in every floating argument are compared with one device's: under
    pmap, where each device differentiates and the gradients are averaged, and under
    shard_map, differentiated from outside.
    """

    def check(loss, *rows):
        floats = tuple(i for i, x in enumerate(rows) if jnp.issubdtype(x.dtype, jnp.floating))
        both = functools.partial(jax.value_and_grad, argnums=floats)
        expected, expected_grads = jax.jit(both(functools.partial(loss, axis_name=None)))(*rows)
        local = functools.partial(loss, axis_name='devices')

        def shard(*shards):  # parameters that the devices share get the mean of their gradients
            value, grads = both(local)(*shards)
            return value, [g / 8 for g in grads]

        shards = [x.reshape(8, -1, *x.shape[1:]) for x in rows]
        values, grads = jax.pmap(shard, axis_name='devices')(*shards)
        assert_close(values, [expected] * 8, 'pmap value')
        for g, want in zip(grads, expected_grads, strict=True):
            assert_close(np.reshape(g, want.shape), want, 'pmap gradient')
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:8]), ('devices',))
        mapped = jax.shard_map(local, mesh=mesh, in_specs=jax.P('devices'), out_specs=jax.P())
        value, grads = jax.jit(both(mapped))(*rows)
        assert_close(value, expected, 'shard_map value')
        for g, want in zip(grads, expected_grads, strict=True):
            assert_close(g, want, 'shard_map gradient')

    def assert_close(got, want, what, rtol=1e-5):
        want = np.asarray(want)
        atol = 1e-6 * max(1.0, np.abs(want).max(initial=0))
        np.testing.assert_allclose(np.asarray(got), want, rtol=rtol, atol=atol, err_msg=what)

    return check


@pytest.fixture
def float64():
    """Runs one test in double precision."""
    with jax.enable_x64(True):
        yield


def pack(kind, files):
    """The bytes of a wheel (zip), an npm package (tar.gz) or a Debian one (tar.xz in an `ar`)."""
    data = io.BytesIO()
    if kind == 'pypi':
        with zipfile.ZipFile(data, 'w') as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
    else:
        with tarfile.open(fileobj=data, mode='w:xz' if kind == 'deb' else 'w:gz') as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    if kind == 'deb':
        members = {
            'debian-binary': b'2.0\n',
            'control.tar.xz': b'odd',
            'data.tar.xz': data.getvalue(),
        }
        return b'!<arch>\n' + b''.join(ar_member(*member) for member in members.items())
    return data.getvalue()


def ar_member(name, content):
    """A member of an `ar` file: a header of 60 bytes and the content, padded to an even length."""
    header = f'{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n'
    return header.encode() + content + b'\n' * (len(content) % 2)


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """packed(kind, spec, files) -> the Archive of a package that lies in an empty cache.

    With `keep=False` it is not in the cache; the second result is its bytes.
    """
    monkeypatch.setenv('JAXSEP_CACHE', str(tmp_path / 'cache'))

    def make(kind, spec, files, keep=True):
        data = pack(kind, files)
        archive = archives.Archive(kind, spec, hashlib.sha256(data).hexdigest())
        if not keep:
            return archive, data
        archives.folder(archive).mkdir(parents=True)
        (archives.folder(archive) / f'package{archives.ENDINGS[kind]}').write_bytes(data)
        return archive

    return make


@pytest.fixture(scope='session')
def real():
    """real(*wanted, small=...): skips the test unless the archives are there.

    Small ones are downloaded, once per machine.
    """

    def need(*wanted, small):
        for archive in wanted:
            if not small and not list(
                archives.folder(archive).glob(f'*{archives.ENDINGS[archive.kind]}')
            ):
                pytest.skip(f'{archive.spec} is not in the cache and is not fetched by the tests')
            try:
                archives.fetch(archive)
            except OSError as error:
                pytest.skip(str(error))

    return need
