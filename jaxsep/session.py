"""One run, from a checked config to results: make, train or fit, evaluate, report.

`prepare` does everything that can fail because of wrong input, before anything is
compiled or written. `execute` does the work.
"""

import importlib
import json
import os
import pathlib
from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from jaxsep import catalog, configuration, encoding
from jaxsep.data import batches, source
from jaxsep.data.source import Source
from jaxsep.method import Estimator, Method, Tree
from jaxsep.trainers import checkpoint, hosts, loop, optimizer, precision, predict, records, state
from jaxsep.trainers.writing import write_whole, writing

AGAIN = 'what was learnt is saved, and the same command goes on from there'


class Stage(NamedTuple):
    """One stage of a run, ready to start. A config without stages has one, named ''."""

    name: str
    config: object
    source: Source
    method: Method | Estimator
    mesh: jax.sharding.Mesh
    predict: predict.Predict


def prepare(config, load_source) -> list[Stage]:
    """The stages of a config with their data and methods; ValueError for wrong input."""
    stages = []
    for name, stage_config in configuration.stage_configs(config):
        entry = configuration.check(stage_config)
        source = load_source(**configuration.plain(stage_config.data))
        num_rows = len(source.splits['train'])
        batches.check_sizes(num_rows, stage_config.batch_size, *hosts.share().values())
        mesh = state.make_mesh(stage_config.num_devices)
        loop.check_divisible(stage_config.batch_size, mesh.size)
        given = configuration.arguments(entry, stage_config, source, state.AXIS)
        method = catalog.load(entry.name).make(**given)
        if isinstance(method, Method):
            method = precision.compute_in(method, stage_config.compute_dtype)
            make_optimizer(stage_config)
            apply = lambda variables, batch, m=method: m.outputs(*variables, batch)  # noqa: E731
        else:
            apply = method.outputs
        run = predict.make_predict(apply, mesh)
        stages.append(Stage(name, stage_config, source, method, mesh, run))
    return stages


def execute(stages: list[Stage], workdir: pathlib.Path) -> dict[str, float | int]:
    """Runs the stages in order and evaluates the last; returns and writes its results."""
    evals = tuple(stages[-1].config.evals)
    last = [name for name in evals if not over_stages(name)]
    over = [name for name in evals if over_stages(name)]
    done, earlier, seconds, tables_of = {}, None, 0.0, {}
    for given in stages:
        stage = encoded(given, done)
        directory = workdir / stage.name if stage.name else workdir
        directory.mkdir(parents=True, exist_ok=True)
        learn = learn_by_fitting if isinstance(stage.method, Estimator) else learn_by_gradient
        before, after, facts = learn(stage, directory, earlier)
        done[stage.name], seconds = (given, after), seconds + facts['seconds']
        earlier = after if isinstance(stage.method, Method) else earlier
        if over:
            tables_of[stage.name] = outputs(stage, after, needed(over))
    tables = outputs(stage, after, {'test', *needed(last)})
    results = {
        **facts,
        'seconds': round(seconds, 1),
        **evaluate(stage, tables, last),
        **evaluate(stage, tables_of, over),
    }
    write_json(workdir / 'results.json', results)
    if stage.config.report:
        write_report(stage, workdir, results, before, tables['test'], [s.name for s in stages])
    hosts.wait('results')
    return results


def reopen(workdir: str | os.PathLike, load_source=source.load) -> dict[str, tuple[Stage, Tree]]:
    """The stages of a run that main did, with what they learnt; nothing is trained or written.

    Args:
      workdir: of the run. Of an interrupted one the newest checkpoints are read.
      load_source: reads the data that the run's config names.

    Returns:
      name -> (stage, variables); a run without stages has one, named ''. The stage's source has
      the rows that it learnt from, encoded where the config says so. Variables are (params, extra)
      of a Method, of the best checkpoint where the config selects it, or what an Estimator fitted.
      `outputs(stage, variables, ('test',))` has the named outputs.

    Raises:
      ValueError: for a directory without a run, or with a stage that has learnt nothing yet.
    """
    workdir = pathlib.Path(workdir)
    path = workdir / 'config.json'
    if not path.exists():
        raise ValueError(
            f'workdir: expected the directory of a run, got {workdir} (no config.json)'
        )
    config = ml_collections.ConfigDict(configuration.read_claim(path)['config'])
    done, found = {}, {}
    for given in prepare(config, load_source):
        stage = encoded(given, done)
        directory = workdir / stage.name if stage.name else workdir
        fits = isinstance(stage.method, Estimator)
        variables = (read_fitted if fits else read_trained)(stage, directory)
        done[stage.name], found[stage.name] = (given, variables), (stage, variables)
    return found


def read_trained(stage: Stage, directory: pathlib.Path) -> Tree:
    """Params and extra of the newest checkpoint, or of the best one where that is to be used."""
    config, train = stage.config, stage.source.splits['train']
    if not (directory / 'checkpoints').exists():
        raise ValueError(f'workdir: stage {stage.name!r} has no checkpoint in {directory}')
    batch = next(batches.padded_batches(train, config.batch_size, **hosts.share()))[0]
    fresh = state.create(stage.method, make_optimizer(config), config.seed, batch, stage.mesh)
    fresh = state.begin(stage.method, fresh, stage.mesh)
    kept = checkpoint.Checkpoints(
        directory / 'checkpoints', config.select.metric, config.select.mode, read_only=True
    )
    step = kept.best_step() if config.select.use == 'best' else None
    restored = kept.restore(fresh, step)
    kept.close()
    if restored is None:
        raise ValueError(f'workdir: stage {stage.name!r} has no checkpoint in {directory}')
    return restored[0].params, restored[0].extra


def read_fitted(stage: Stage, directory: pathlib.Path) -> Tree:
    """What an estimator fitted."""
    if not (directory / 'fitted').exists():
        raise ValueError(f'workdir: stage {stage.name!r} has not been fitted in {directory}')
    train = stage.source.splits['train']
    data = train.take(np.arange(len(train)))
    return checkpoint.read_fitted(stage.method, data, stage.config.seed, directory)[0]


def encoded(stage: Stage, done: dict[str, tuple[Stage, object]]) -> Stage:
    """The stage with the rows that its config's encoder makes of the source's.

    Args:
      done: name -> the earlier stages as they were given, with their variables.
    """
    options = configuration.plain(stage.config.encoder)
    if not options:
        return stage
    labels, size = compared(stage.source), padded_size(stage)
    names, outputs_kept = options.get('stages', ()), tuple(options.get('outputs', ()))
    given = options if 'name' in options else options.get('pretrained')
    several, encoders = len(names) + bool(given) > 1, []
    for name in names:
        before, variables = done[name]

        def apply(split, before=before, variables=variables):
            source = stage.source._replace(splits={'rows': split})
            rows = encoded(before._replace(source=source), done).source.splits['rows']
            return table_of(before, variables, rows, labels)

        encoders.append(encoding.of_stage(name if several else '', apply, labels, outputs_kept))
    if given:

        def make_predict(outputs):
            return predict.make_predict(outputs, stage.mesh)

        prefix = given['name'] if several else ''
        encoders.append(encoding.pretrained(prefix, given, labels, make_predict, size))
    return stage._replace(source=encoding.encode(stage.source, encoders))


def learn_by_gradient(stage: Stage, directory: pathlib.Path, earlier):
    """Trains; returns the variables before and after, and what is known of the training."""
    config, train = stage.config, stage.source.splits['train']
    select = loop.Selection(
        config.select.metric, config.select.mode, config.select.patience, config.select.min_delta
    )
    first = {}

    earlier = earlier if config.take_over else None

    def initial(fresh):
        params, taken = state.take_over(fresh.params, earlier[0]) if earlier else (fresh.params, [])
        extra, _ = state.take_over(fresh.extra, earlier[1]) if earlier else (fresh.extra, [])
        if earlier and hosts.first():
            print(
                f'stage {stage.name}: {len(taken)} of {len(jax.tree.leaves(params))} arrays taken over'
            )
        first['variables'] = jax.device_get((params, extra))
        return fresh._replace(params=params, extra=extra)

    def watch(current):
        tables = outputs(
            stage, (current.params, current.extra), needed(config.evals_while_training)
        )
        return evaluate(stage, tables, tuple(config.evals_while_training))

    result = loop.train(
        stage.method,
        make_optimizer(config),
        lambda start: batches.stream(
            train,
            seed=config.seed,
            start_step=start,
            batch_size=config.batch_size,
            **hosts.share(),
        ),
        workdir=directory,
        num_steps=config.num_steps,
        seed=config.seed,
        parallel=config.parallel,
        num_devices=config.num_devices,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        eval_every=config.eval_every,
        evaluate=watch if config.evals_while_training else None,
        selection=select,
        initial=initial,
    )
    last = result.state
    if config.select.use == 'best' and result.best_step is not None:
        kept = checkpoint.Checkpoints(
            directory / 'checkpoints', select.metric, select.mode, read_only=True
        )
        last, _ = kept.restore(last, result.best_step)
        kept.close()
    params = last.params
    facts = {
        'step': int(last.step),
        'seconds': round(result.seconds, 1),
        'parameters': sum(leaf.size for leaf in jax.tree.leaves(params)),
    }
    return first['variables'], (params, last.extra), facts


def learn_by_fitting(stage: Stage, directory: pathlib.Path, earlier):
    """Fits, or reads what was fitted before; parameters of earlier stages do not matter."""
    del earlier
    train = stage.source.splits['train']
    data = train.take(np.arange(len(train)))
    with loop.sigterm():  # waits until what was fitted is saved
        fitted, seconds = checkpoint.fit_once(stage.method, data, stage.config.seed, directory)
    return None, fitted, {'seconds': round(seconds, 1), 'rows': len(train)}


def padded_size(stage: Stage) -> int:
    """Rows of an evaluation batch: the config's, rounded up to what the devices divide."""
    return -(-stage.config.eval_batch_size // stage.mesh.size) * stage.mesh.size


def outputs(stage: Stage, variables, splits) -> dict[str, dict[str, np.ndarray]]:
    """Named outputs, label and target columns of the splits, rows aligned."""
    labels = compared(stage.source)
    return {name: table_of(stage, variables, stage.source.splits[name], labels) for name in splits}


def compared(source: Source) -> tuple[str, ...]:
    """The columns that evaluations see beside the outputs: labels and targets."""
    return (*source.labels, *source.targets)


def table_of(stage: Stage, variables, split, labels) -> dict[str, np.ndarray]:
    """Named outputs of one split and the columns `labels` of it, rows aligned."""
    columns = {column: [] for column in labels}

    def rows():
        for batch, count in batches.padded_batches(split, padded_size(stage), **hosts.share()):
            for column, parts in columns.items():
                parts.append(hosts.gather(batch[column])[:count])
            yield batch, count

    table = stage.predict(variables, rows())
    if clash := sorted(table.keys() & columns.keys()):
        raise ValueError(
            f'{stage.config.method} names an output {clash[0]!r}, as the data a column'
        )
    return {**table, **{column: np.concatenate(parts) for column, parts in columns.items()}}


def needed(names) -> tuple[str, ...]:
    """The splits that evaluations look at."""
    return tuple(sorted({split for name in names for split in evaluation(name).NEEDS}))


def evaluation(name: str):
    """The module of an evaluation: NEEDS and evaluate(tables, **options)."""
    return importlib.import_module(f'jaxsep.evals.{name}')


def over_stages(name: str) -> bool:
    """Whether an evaluation compares the stages of a run: its tables are stage -> splits."""
    return getattr(evaluation(name), 'OVER_STAGES', False)


def evaluate(stage: Stage, tables, names) -> dict[str, float | int]:
    """All named evaluations; keys are prefixed by the split measured, the last it needs."""
    results = {}
    for name in names:
        options = configuration.plain(stage.config.evals[name])
        found = evaluation(name).evaluate(tables, **options)
        split = evaluation(name).NEEDS[-1]
        results |= {f'{split}/{key}': float(value) for key, value in found.items()}
    return results


def make_optimizer(config):
    """The optimizer of a stage."""
    return optimizer.make_optimizer(
        num_steps=config.num_steps, **configuration.plain(config.optimizer)
    )


def write_report(stage: Stage, workdir: pathlib.Path, results, before, after, names) -> None:
    """report.html: results, curves, examples, and the separability of the test embeddings.

    Args:
      names: of all stages; what each measured last gives the curve of rate and distortion.
    """
    from jaxsep.report import gallery, page, rates

    curves = {}
    path = workdir / (stage.name or '.') / 'metrics.jsonl'
    for line in records.read(path) if path.exists() else []:
        for name, value in line.items():
            if name != 'step':
                steps, values = curves.setdefault(name, ([], []))
                steps.append(line['step'])
                values.append(value)
    embeddings = {'after': after['embedding']} if 'embedding' in after else {}
    if embeddings and before is not None:
        embeddings = {
            'before': outputs(stage, before, ('test',))['test']['embedding'],
            **embeddings,
        }
    labels = {
        column: np.asarray(names)[after[column]] for column, names in stage.source.labels.items()
    }
    test = stage.source.splits['test']
    examples = gallery.sections(
        {**test.take(np.arange(min(gallery.FIRST, len(test)))), **after},
        {**stage.source.labels, **stage.source.targets},
        stage.source.sample_rate,
    )
    examples += rates.sections(
        {name: last_measured(workdir / name) for name in names[:-1]} | {names[-1]: results}
    )
    html = page.run_page(stage.config.method, results, curves, embeddings, labels, examples)
    write_text(workdir / 'report.html', html)


def last_measured(directory: pathlib.Path) -> dict[str, float | int]:
    """The last of every number that a stage wrote down while it learnt."""
    path, found = directory / 'metrics.jsonl', {}
    for line in records.read(path) if path.exists() else []:
        found |= line
    return found


def write_json(path: pathlib.Path, content) -> None:
    """Whole or not at all, by the first process."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def write_text(path: pathlib.Path, text: str) -> None:
    """Whole or not at all, by the first process."""
    if hosts.first():
        with writing(path.name, path.parent, AGAIN):
            write_whole(path, text)
