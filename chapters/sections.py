"""Finding the sections of the book and reading their cells."""
import dataclasses
import difflib
import functools
import pathlib
import re

import jupytext

ROOT = pathlib.Path(__file__).resolve().parent
CHECKOUT = ROOT.parent if (ROOT.parent / 'setup.py').exists() else None     # else a wheel's modules
# where a section has no listing in the book, besides the gaps between those that have
WITHOUT_CODE = {'1': 'all', '8': ('8.7',), '9': ('9.8',), '18': 'all'}


class UnknownSection(ValueError):
    """No section has that number. The message lists the nearest ones."""


@dataclasses.dataclass(frozen=True)
class Section:
    """One section of the book: number ('6.6') and the percent script that holds its listings."""
    number: str
    path: pathlib.Path

    @functools.cached_property
    def notebook(self):
        """The section as a notebook without outputs (nbformat 4); read anew for each Section."""
        return jupytext.read(self.path, fmt='py:percent')

    @property
    def listings(self):
        """The sources of the code cells, one per listing of the book, in its order."""
        return [cell.source for cell in self.notebook.cells if cell.cell_type == 'code']

    @property
    def title(self):
        """The title as in the book, without the number."""
        return re.match(r'# [\d.]+ (.*)', self.notebook.cells[0].source)[1]

    @property
    def data(self):
        """Names of the data sets that the section fetches, as in the hub."""
        return self.notebook.cells[0].metadata.get('data', [])

    @property
    def gpu(self):
        """Whether a GPU helps."""
        return self.notebook.cells[0].metadata.get('gpu', False)

    @property
    def gpus(self):
        """How many GPUs the listings cannot do without (12.5, 12.6: two); most need none."""
        return self.notebook.cells[0].metadata.get('gpus', 0)

    @property
    def needs(self):
        """Numbers of the earlier sections that this one builds on."""
        return self.notebook.cells[0].metadata.get('needs', [])

    @property
    def own(self):
        """Whether the listings are ours: the book's section has none."""
        return self.notebook.cells[0].metadata.get('own', False)


def python_only(source):
    """Return a cell's source with its magics and shell lines made comments; positions stay."""
    return re.sub(r'^(\s*)[%!](?=[a-z{])', r'\1#', source, flags=re.M)


def _order(number):
    return tuple(map(int, number.split('.')))


def all_sections(root=ROOT):
    """Return all Sections of a folder of chapters, in the book's order."""
    found = []
    for path in pathlib.Path(root).glob('ch*/s*.py'):
        m = re.fullmatch(r'ch(\d\d)_\w+/s(\d\d)_\w+\.py', path.relative_to(root).as_posix())
        if m:
            found.append(Section(f'{int(m[1])}.{int(m[2])}', path))
    return sorted(found, key=lambda section: _order(section.number))


def has_no_code(name):
    """Return whether this is the number of a section or chapter of the book that has no listing,
    and so is not here: '18.1', '3.4', '18'."""
    if not re.fullmatch(r'\d+(\.\d+)?', name):
        return False
    chapter, _, minor = name.partition('.')
    beyond = WITHOUT_CODE.get(chapter, ())
    here = [_order(section.number)[1] for section in all_sections()
            if section.number.split('.')[0] == chapter]
    return beyond == 'all' or name in beyond or bool(minor) and bool(here) \
        and 0 < int(minor) < max(here) and int(minor) not in here


def _hits(name, sections):
    """Return the numbers that a name stands for, in the book's order. sections: number ->
    Section."""
    hits = [n for n in sections if name in ('all', n, n.split('.')[0])]
    if hits or not re.search('[a-z]', name, re.I):
        return hits
    words = re.findall(r'\w+', name.lower())
    return [n for n, section in sections.items()
            if all(re.search(rf'\b{word}', section.title.lower()) for word in words)]


def find(*wanted):
    """Sections for names as in the book: '6.6', a chapter '6', 'all', or words of a title such as
    'softmax'; in the book's order.

    Raises UnknownSection, naming the nearest ones, before anything is run.
    """
    sections = {section.number: section for section in all_sections()}
    numbers = set()
    for name in wanted:
        hits = _hits(name, sections)
        if not hits:
            chapters = list(dict.fromkeys(n.split('.')[0] for n in sections))
            near = ([n for n in sections if n.split('.')[0] == name.split('.')[0]]
                    or difflib.get_close_matches(name, [*sections, *chapters], 5, 0.3) or chapters)
            what = 'chapter' if name in WITHOUT_CODE else 'section'
            said = f"{what} {name} of the book has no code, so there is nothing to run" \
                if has_no_code(name) else f"there is no section '{name}' here"
            raise UnknownSection(f"{said}; the nearest: "
                                 f"{', '.join(near)} (python -m chapters list shows all)")
        numbers.update(hits)
    return [sections[number] for number in sorted(numbers, key=_order)]
