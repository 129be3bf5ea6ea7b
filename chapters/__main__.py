"""python -m chapters: list the book's sections, run them, make notebooks of them."""
import argparse
import os
import signal
import sys

import nbformat

from chapters.execute import (
    BUILD, CellFailed, DevicesMissing, QuickError, check_devices, execute)
from chapters.sections import UnknownSection, all_sections, find


def devices(text):
    """The devices of --devices as a tuple: 'cpu,cpu' -> ('cpu', 'cpu')."""
    kinds = tuple(text.split(','))
    if set(kinds) != {'cpu'}:
        raise argparse.ArgumentTypeError(f"'{text}': say cpu once for each GPU, such as cpu,cpu")
    return kinds


def list_sections(args):
    """Print number, title, data sets and whether a GPU helps."""
    for section in all_sections():
        gpu = [f'needs {section.gpus} GPUs'] if section.gpus else \
            ['a GPU helps'] if section.gpu else []
        notes = ', '.join([*section.data, *gpu])
        print(f'{section.number:6}{section.title}' + (f'  [{notes}]' if notes else ''))


def write_pages(section, nb):
    """Write the executed notebook and one HTML page into build/<number>/; return their paths."""
    from nbconvert import HTMLExporter      # half a second, needed only here

    folder = BUILD / section.number
    notebook, page = folder / f'{section.number}.ipynb', folder / f'{section.number}.html'
    nbformat.write(nb, notebook)
    html, _ = HTMLExporter().from_notebook_node(
        nb, {'metadata': {'name': f'{section.number} {section.title}'}})
    page.write_text(html, encoding='utf-8')
    return [notebook, page]


def run(args):
    """Run sections; `run` shows what the cells print, `notebook` only what was written."""
    sections = find(*args.sections)
    for section in sections:                    # before anything is run
        check_devices(section, args.devices)
    for section in sections:
        print(f'{section.number} {section.title}'
              + (' (sample data)' if section.data and os.environ.get('D2L_DATA') == 'sample'
                 else '') + (' (quick: shrunken constants)' if args.quick else '')
              + ''.join(f' (gpu({i}) is cpu({i + 1}))' for i in range(len(args.devices))),
              flush=True)
        nb, figures = execute(section, quick=args.quick, echo=args.command == 'run',
                              devices=args.devices)
        for path in figures + write_pages(section, nb):
            print(os.path.relpath(path))


def main(argv=None):
    """Return the exit status: 0, 1 where a cell failed, 2 for a bad call, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog='python -m chapters', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list', help='number, title, data sets, whether a GPU helps')
    for name, text in (('run', 'run sections and show what they print'),
                       ('notebook', 'executed notebooks and HTML pages')):
        command = commands.add_parser(name, help=text)
        command.add_argument('sections', nargs='+', metavar='SECTION',
                             help='as in the book: 6.6; a chapter: 6; or all')
        command.add_argument('--quick', action='store_true',
                             help='shrink the constants of chapters/quick.toml: seconds, not hours')
        command.add_argument('--devices', type=devices, default=(), metavar='cpu,cpu',
                             help='let CPU contexts stand for GPUs: gpu(i) is cpu(i + 1)')
    args = parser.parse_args(argv)
    try:
        (list_sections if args.command == 'list' else run)(args)
    except CellFailed as err:
        print(err, file=sys.stderr)
        return 1
    except (UnknownSection, QuickError, DevicesMissing) as err:
        print(f'{parser.prog}: {err}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)       # `list | head` is no error
    sys.exit(main())
