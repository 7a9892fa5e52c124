"""python -m jaxsep.report embeddings.npz [more.npz ...] [--html out.html] [--json out.json]."""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='python -m jaxsep.report',
        description='How separable are these embeddings, and what separates them?',
        epilog='Each matrix [points, features] in a file is an embedding, each vector of the same '
        'length a label column. Several embeddings of the same points are compared.',
    )
    parser.add_argument('files', nargs='+', metavar='embeddings.npz', help='files of np.savez')
    parser.add_argument('--html', metavar='FILE', help='write a page that opens offline')
    parser.add_argument('--json', metavar='FILE', help='write every number')
    parser.add_argument('--labels', metavar='NAME,NAME', help='label columns (default: all)')
    parser.add_argument('--k', type=int, default=5, help='neighbours that vote (default: 5)')
    parser.add_argument('--seed', type=int, default=0, help='of the probe halves and subsamples')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Reads, measures, prints, writes; 0, or 2 with one line on stderr for wrong input."""
    given = arguments().parse_args(argv)
    try:
        from jaxsep.report import inputs

        wanted = [name for name in given.labels.split(',') if name] if given.labels else None
        embeddings, labels, notes = inputs.read(given.files, wanted)
        inputs.check_neighbors(given.k, len(next(iter(embeddings.values()))))
        for target in filter(None, (given.html, given.json)):
            check_target(target)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2

    from jaxsep.report import measures, page, text

    show = Progress(sys.stderr)
    found = measures.compare(embeddings, labels, k=given.k, seed=given.seed, progress=show)
    show.close()
    print(text.table(found))
    for note in notes:
        print(f'note: {note}')
    if given.json:
        write(given.json, json.dumps({**found, 'notes': notes}, indent=2, allow_nan=False) + '\n')
    if given.html:
        title = 'Separability of ' + ', '.join(pathlib.Path(path).name for path in given.files)
        write(given.html, page.separability_page(title, found, embeddings, labels, notes))
    for target in filter(None, (given.json, given.html)):
        print(f'written: {target}')
    return 0


class Progress:
    """A bar on a terminal; in a pipe one plain line per ten seconds."""

    def __init__(self, stream):
        self.stream, self.live = stream, stream.isatty()
        self.started = self.said = time.monotonic()

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        share = done / max(of, 1)
        left = (
            f', {(now - self.started) / share * (1 - share):.0f} s left'
            if done and now - self.started > 3
            else ''
        )
        if self.live:
            filled = int(share * 24)
            bar = '█' * filled + '░' * (24 - filled)
            self.stream.write(f'\r\x1b[2K{bar} {what}{left}')
            self.stream.flush()
        elif now - self.said > 10:
            print(f'{what}: {share:.0%}', file=self.stream, flush=True)
            self.said = now
        if done >= of:
            self.started = now

    def close(self) -> None:
        """Leaves the terminal's line empty."""
        if self.live:
            self.stream.write('\r\x1b[2K')
            self.stream.flush()


def check_target(target: str) -> None:
    """ValueError unless a file can be written there."""
    path = pathlib.Path(target)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f'{target}: expected a file in a directory that exists')


def write(target: str, content: str) -> None:
    """All of it or nothing: a temporary file beside the target takes its place."""
    path = pathlib.Path(target)
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as stream:
            stream.write(content)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


if __name__ == '__main__':
    sys.exit(main())
