"""What main does with a config before jax is imported: checks, facts, the claim on a workdir."""

import hashlib
import json
import pathlib
import subprocess
import tempfile
from collections.abc import Mapping

import jaxsep
from jaxsep import catalog
from jaxsep.trainers.writing import write_whole

FACTS = (
    'num_samples', 'num_classes', 'steps_per_epoch', 'field_sizes', 'sample_rate', 'axis_name'
)  # fmt: skip

WHERE_IT_RUNS = ('num_devices', 'parallel')
"""Keys that do not change what is computed: a run may go on with other ones."""


def check(config) -> catalog.Entry:
    """The method a config names, after everything that can be seen without jax was checked.

    Raises ValueError naming the key, what was expected and what came.
    """
    entry = catalog.describe(config.method)
    catalog.check_keywords('config.make', entry.name, entry.keywords, plain(config.make), FACTS)
    if config.parallel not in ('jit', 'pmap'):
        raise ValueError(f"config.parallel: expected 'jit' or 'pmap', got {config.parallel!r}")
    if config.compute_dtype not in ('float32', 'bfloat16'):
        raise ValueError(
            f"config.compute_dtype: expected 'float32' or 'bfloat16', got {config.compute_dtype!r}"
        )
    if config.parallel == 'pmap' and 'axis_name' not in entry.keywords:
        raise ValueError(
            f'config.parallel: {entry.name} does not run under pmap (its make takes no axis_name); '
            "use 'jit'"
        )
    for key in ('batch_size', 'eval_batch_size', 'log_every', 'checkpoint_every'):
        if config[key] < 1:
            raise ValueError(f'config.{key}: expected at least 1, got {config[key]}')
    for key in ('num_steps', 'eval_every', 'num_devices'):
        if config[key] < 0:
            raise ValueError(f'config.{key}: expected 0 or more, got {config[key]}')
    known = catalog.evaluations()
    for name, options in config.evals.items():
        if name not in known:
            near = catalog.nearest(name, list(known))
            raise ValueError(f'config.evals: no evaluation {name!r}{near}')
        catalog.check_keywords(f'config.evals.{name}', name, known[name], plain(options))
    for name in config.evals_while_training:
        if name not in config.evals:
            raise ValueError(f'config.evals_while_training: {name!r} is not among config.evals')
    check_encoder(plain(config.encoder))
    select = config.select
    if select.mode not in ('max', 'min') or select.use not in ('last', 'best'):
        raise ValueError("config.select: mode is 'max' or 'min', use is 'last' or 'best'")
    if not select.metric and (select.use == 'best' or select.patience):
        raise ValueError('config.select.metric: needed for use="best" and for patience')
    if select.metric and not (config.eval_every and config.evals_while_training):
        raise ValueError(
            'config.select.metric: needs config.eval_every and config.evals_while_training'
        )
    return entry


def check_encoder(encoder: Mapping) -> None:
    """ValueError for an encoder that is neither a known one with its options nor earlier stages."""
    if not encoder:
        return
    if ('name' in encoder) == ('stages' in encoder):
        raise ValueError(
            "config.encoder: expected 'name' (of a pretrained encoder) or 'stages' (earlier ones), "
            f'got {sorted(encoder)}'
        )
    if 'name' in encoder:
        return check_pretrained('config.encoder', encoder)
    known = {'stages': True, 'outputs': False, 'pretrained': False}
    catalog.check_keywords('config.encoder', 'stages', known, encoder)
    if 'pretrained' in encoder:
        if 'name' not in encoder['pretrained']:
            raise ValueError(
                "config.encoder.pretrained: expected 'name' and the options of an encoder, "
                f'got {sorted(encoder["pretrained"])}'
            )
        check_pretrained('config.encoder.pretrained', encoder['pretrained'])


def check_pretrained(where: str, encoder: Mapping) -> None:
    """ValueError for a pretrained encoder that is not there, or has no such options."""
    known = catalog.encoders()
    name = encoder['name']
    if name not in known:
        near = catalog.nearest(name, list(known))
        raise ValueError(f'{where}: no pretrained encoder {name!r}{near}')
    options = {key: value for key, value in encoder.items() if key != 'name'}
    catalog.check_keywords(where, name, known[name], options)


def arguments(entry: catalog.Entry, config, source, parallel_axis: str) -> dict:
    """Keyword arguments for `make`: those of the config, and the facts it asks for."""
    given = {name: plain(value) for name, value in config.make.items()}
    num_samples = len(source.splits['train'])
    label = given.get('label', entry.defaults.get('label', 'label'))
    facts = {
        'num_samples': num_samples,
        'steps_per_epoch': num_samples // config.batch_size,
        'axis_name': parallel_axis if config.parallel == 'pmap' else None,
    }
    if source.field_sizes:
        facts['field_sizes'] = source.field_sizes
    if source.sample_rate:
        facts['sample_rate'] = source.sample_rate
    names = {**source.targets, **source.labels}.get(label)
    if names:
        facts['num_classes'] = len(names)
    missing = [k for k, needed in entry.keywords.items() if needed and k not in {**given, **facts}]
    if missing:
        raise ValueError(
            f'config.make: {entry.name} needs {missing[0]!r}, which data {config.data.name!r} '
            f'does not tell; its label columns are {sorted(source.labels)}'
        )
    return {**{k: v for k, v in facts.items() if k in entry.keywords}, **given}


def plain(value):
    """ConfigDicts as dicts, all the way down."""
    if hasattr(value, 'to_dict'):
        return value.to_dict()
    return value


def claim(workdir: pathlib.Path, config, write: bool = True) -> None:
    """Writes config.json, or checks that the one there is of the same config.

    Args:
      write: False on all processes but one, which only check.

    Raises ValueError naming the keys that differ (a workdir belongs to one config, on whatever
    devices it goes on), where nothing can be written, and for a config.json that is damaged.
    """
    path = pathlib.Path(workdir) / 'config.json'
    resolved = json.loads(json.dumps(config.to_dict()))
    if path.exists():
        before = read_claim(path)['config']
        changed = [x for x in differences(before, resolved) if x[0] not in WHERE_IT_RUNS]
        if changed:
            shown = '; '.join(f'{k}: {a!r} there, {b!r} here' for k, a, b in changed[:4])
            more = f' and {len(changed) - 4} more' if len(changed) > 4 else ''
            raise ValueError(f'--workdir: {workdir} belongs to another config ({shown}{more})')
    if not write:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # the run will write there, also where config.json is there already
        if not path.exists():
            about = {'jaxsep': jaxsep.__version__, 'git': git_hash(), 'config': resolved}
            write_whole(path, json.dumps(about, indent=2) + '\n')
    except OSError as error:
        raise ValueError(f'--workdir: cannot write in {workdir} ({error.strerror})') from error


def read_claim(path: pathlib.Path) -> dict:
    """What a config.json says; ValueError for a damaged one."""
    try:
        about = json.loads(path.read_text())
        if not isinstance(about['config'], dict):
            raise TypeError('config is not a dict')
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'--workdir: {path} cannot be read ({error}); if the run there has this config, '
            'delete the file and run again'
        ) from error
    return about


def differences(before: Mapping, after: Mapping, prefix: str = '') -> list[tuple]:
    """(key, value before, value after) wherever two nested dicts differ."""
    found = []
    for key in sorted({*before, *after}):
        a, b = before.get(key), after.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f'{prefix}{key}.')
        elif a != b:
            found.append((prefix + key, a, b))
    return found


def stage_configs(config) -> list[tuple[str, object]]:
    """(name, config) of every stage: the config itself, or it with each stage's overrides."""
    if not config.stages:
        return [('', config)]
    staged = []
    for number, overrides in enumerate(config.stages):
        overrides = dict(plain(overrides))
        name = overrides.pop('name', None)
        if not name or name in [n for n, _ in staged]:
            raise ValueError(f'config.stages[{number}]: needs a name of its own')
        stage = config.copy_and_resolve_references()
        stage.stages = ()
        for key, value in overrides.items():
            if key not in stage:
                near = catalog.nearest(key, list(stage))
                raise ValueError(f'config.stages[{number}]: the config has no key {key!r}{near}')
            if isinstance(value, dict):
                stage[key].unlock().update(value)
            else:
                stage[key] = value
        stage.seed += stage.seed_offset
        for encoding in stage.encoder.get('stages', ()):
            if encoding not in [n for n, _ in staged]:
                raise ValueError(
                    f'config.stages[{number}].encoder: there is no stage {encoding!r} before {name!r}'
                )
        staged.append((name, stage))
    return staged


def git_hash() -> str:
    """The commit of the checkout jaxsep runs from; '' where there is none."""
    root = pathlib.Path(__file__).parents[1]
    try:
        run = subprocess.run(
            ['git', '-C', str(root), 'rev-parse', 'HEAD'],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ''
    return run.stdout.strip()


def fingerprint(config) -> str:
    """A short name for a config's contents: equal configs, equal names."""
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest()[:12]
