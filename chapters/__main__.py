"""python -m chapters: list the book's sections, run them, make notebooks and a site of them."""
import argparse
import importlib
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import sys

import nbformat

from . import lab as lab_module
from . import notes
from .execute import BUILD, CellFailed, DevicesMissing, QuickError, check_devices, execute
from .sections import CHECKOUT, ROOT, UnknownSection, all_sections, find


def devices(text):
    """Return the devices of --devices as a tuple: 'cpu,cpu' -> ('cpu', 'cpu')."""
    kinds = tuple(text.split(','))
    if set(kinds) != {'cpu'}:
        raise argparse.ArgumentTypeError(f"'{text}': say cpu once for each GPU, such as cpu,cpu")
    return kinds


def list_sections(args):
    """Print number, title, data sets, whether a GPU helps, and how long a CPU takes."""
    for section in all_sections():
        gpu = [f'needs {section.gpus} GPUs'] if section.gpus else \
            ['a GPU helps'] if section.gpu else []
        said = ', '.join(filter(None, [*section.data, *gpu, notes.duration(section),
                                       "ours, not the book's" * section.own]))
        print(f'{section.number:6}{section.title}' + (f'  [{said}]' if said else ''))


def write_pages(section, nb):
    """Write the executed notebook and one HTML page into build/<number>/, both with a note on how
    it ran; return their paths."""
    from nbconvert import HTMLExporter  # half a second, needed only here

    folder, nb = BUILD / section.number, notes.noted(section, nb)
    notebook, page = folder / f'{section.number}.ipynb', folder / f'{section.number}.html'
    nbformat.write(nb, notebook)
    html, _ = HTMLExporter().from_notebook_node(
        notes.for_pages(nb), {'metadata': {'name': f'{section.number} {section.title}'}})
    page.write_text(local(html), encoding='utf-8')
    return [notebook, page]


def local(html):
    """Return the HTML of nbconvert without the scripts that it would load from other hosts, which
    no cell needs."""
    for pattern in (r'<script src="https?://[^"]*"></script>',
                    r'<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->',
                    r'<script type="module">(?:(?!</script>).)*?mermaid.*?'
                    r'<!-- End of mermaid configuration -->'):
        html = re.sub(pattern, '', html, flags=re.S)
    return html


INSTALL = '''\
# Run this cell first: it installs d2l-mxnet into this kernel, which needs no restart.
def install(spec):
    import importlib.util
    import os
    import subprocess
    import sys

    if not (importlib.util.find_spec('d2l_mxnet') and importlib.util.find_spec('mxnet')):
        for command in ['pip', 'install', '-q', spec], ['d2l_mxnet']:
            subprocess.run([sys.executable, '-m', *command], check=True)
        importlib.invalidate_caches()
    import d2l_finder

    d2l_finder.install()        # what is imported already is repaired now
    print('Data:', {{'sample': 'synthetic stand-ins, numbers say nothing about the real data',
                    'real': "the book's, fetched from where the book has them; "
                            "os.environ['D2L_DATA'] = 'sample' chooses synthetic stand-ins"}}
          [os.environ.get('D2L_DATA', 'real')])


install({spec!r})
del install'''


def write_plain(section, folder, spec=None, data=None):
    """Write the notebook without outputs to folder/<chapter>/; return its path.

    As in the repository, ../data and ../img lie beside the chapters: so img/ goes with it.
    spec: what pip takes; the notebook then begins with a cell that installs it. data: 'real' or
    'sample', which the first cell and the metadata then name.
    """
    nb = notes.introduced(section.notebook,
                          notes.before(section, lambda earlier: notes.beside(earlier, '.ipynb')),
                          notes.lasts(section),
                          lab_module.DATA[data] if data and section.data else '')
    if spec:
        nb.cells.insert(0, nbformat.v4.new_code_cell(INSTALL.format(spec=spec)))
    nb.metadata = {'kernelspec': {'name': 'python3', 'display_name': 'Python 3',
                                  'language': 'python'}, 'language_info': {'name': 'python'}}
    if data:
        nb.metadata['d2l'] = {'data': data}
    for i, cell in enumerate(nb.cells):
        cell.id = f'cell-{i}'                           # the same in every run
    path = folder / section.path.parent.name / f'{section.path.stem}.ipynb'
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    if (ROOT / 'img').exists() and not (folder / 'img').exists():
        shutil.copytree(ROOT / 'img', folder / 'img', dirs_exist_ok=True)
    return path


def run(args):
    """Run sections; `run` shows what the cells print, `notebook` only what was written. Return the
    exit status where nothing could run."""
    sections = find(*args.sections)
    if args.command == 'notebook' and args.to:
        for section in sections:
            print(os.path.relpath(write_plain(section, args.to, args.install)))
        return None
    if need_mxnet():
        return 2
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
        marks = ['sample data'] * ('sample' in notes.data_of(section, nb)) + ['quick'] * args.quick
        for path in figures + write_pages(section, nb):
            print(os.path.relpath(path) + (f" ({', '.join(marks)})" if marks else ''))
    return None


def lab(args):
    """Open JupyterLab on the sections as notebooks; return the exit status."""
    lab_module.check()
    if need_mxnet():
        return 2
    folder = (args.to or lab_module.FOLDER).resolve()
    there = lab_module.prepare(all_sections(), folder, args.data, write_plain)
    print(f'{os.path.relpath(folder)}: {args.data} data'
          + (f'; {there} notebooks were there and stay as they are' if there else ''), flush=True)
    return lab_module.start(folder, args.data, ['--no-browser'] * args.no_browser
                            + ['--allow-root'] * args.allow_root + args.options)


def gallery(args):
    """Build the web site of some sections, print where it is, and return the exit status."""
    if not CHECKOUT:
        print('the gallery is made in a checkout of the repository, which has the regression too: '
              'make gallery', file=sys.stderr)
        return 2
    # importlib, as the gallery depends on this package and on ci, which must not import it
    make = importlib.import_module('gallery').make
    return make(find(*args.sections), args.quick, args.jobs)


def need_mxnet():
    """Install MXNet where there is none, and say so; return the exit status.

    pip cannot have brought it (see d2l_mxnet), and without it nothing runs.
    """
    import d2l_mxnet

    if importlib.util.find_spec('mxnet'):
        return 0
    print(f'There is no MXNet here, so this installs it first: {sys.executable} -m d2l_mxnet',
          file=sys.stderr)
    return d2l_mxnet.main([])


def main(argv=None, prog='python -m chapters', others=()):
    """Return the exit status: 0, 1 where a cell failed, 2 for a bad call, 130 for Ctrl-C.

    prog: how the command is called. others: modules that it runs too, name -> module.
    """
    parser = argparse.ArgumentParser(prog=prog,
                                     description=__doc__.replace('python -m chapters', prog))
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list', help='number, title, data sets, GPU, how long a CPU takes')
    for name, text in (('run', 'run sections and show what they print'),
                       ('notebook', 'executed notebooks and HTML pages')):
        command = commands.add_parser(name, help=text)
        command.add_argument('sections', nargs='+', metavar='SECTION',
                             help='as in the book: 6.6; a chapter: 6; words of a title: softmax; '
                                  'or all')
        command.add_argument('--quick', action='store_true',
                             help='shrink the constants of chapters/quick.toml: seconds, not hours')
        command.add_argument('--devices', type=devices, default=(), metavar='cpu,cpu',
                             help='let CPU contexts stand for GPUs: gpu(i) is cpu(i + 1)')
    command = commands.choices['notebook']
    command.add_argument('--to', type=pathlib.Path, metavar='DIR',
                         help='run nothing: write notebooks without outputs into DIR, for Jupyter')
    command.add_argument('--install', metavar='SPEC',
                         help='with --to: begin each with a cell that installs d2l-mxnet from '
                              'SPEC, what pip takes: a URL, a wheel, a path')
    command = commands.add_parser('lab', help='JupyterLab on the sections as notebooks')
    command.add_argument('--data', choices=('real', 'sample'),
                         default=os.environ.get('D2L_DATA', 'real'),
                         help='on which data they run; default: as D2L_DATA says, else real')
    command.add_argument('--to', type=pathlib.Path, metavar='DIR',
                         help='the folder of the notebooks; default: '
                              f'{os.path.relpath(lab_module.FOLDER)}')
    command.add_argument('--no-browser', action='store_true', help='print the address only')
    command.add_argument('--allow-root', action='store_true', help='as JupyterLab asks root to say')
    command.add_argument('options', nargs='*', metavar='-- OPTION', help='options of JupyterLab')
    command = commands.add_parser('gallery', help='a web site of executed sections')
    command.add_argument('sections', nargs='*', default=['all'], metavar='SECTION')
    command.add_argument('--quick', action='store_true', help='as of run')
    command.add_argument('--jobs', type=int, help='sections at a time; default: one per core')
    for name in others:
        commands.add_parser(name, help=f'as python -m {others[name]}', add_help=False)
    args = parser.parse_args(argv)
    if args.command == 'notebook' and args.to and (args.quick or args.devices):
        parser.error('--to runs nothing, so there is nothing for --quick and --devices to do')
    if args.command == 'notebook' and args.install and not args.to:
        parser.error('--install goes with --to: here everything is installed')
    try:
        command = {'list': list_sections, 'gallery': gallery, 'lab': lab}.get(args.command, run)
        return command(args) or 0
    except CellFailed as err:
        print(err, file=sys.stderr)
        return 1
    except (UnknownSection, QuickError, DevicesMissing, lab_module.LabMissing) as err:
        print(f'{parser.prog}: {err}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)       # `list | head` is no error
    sys.exit(main())
