"""Finding the sections of the book and reading their cells."""
import dataclasses
import difflib
import functools
import pathlib
import re

import jupytext

ROOT = pathlib.Path(__file__).resolve().parent


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
        """The sources of the code cells, one a listing of the book, in its order."""
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
    def own(self):
        """Whether the listings are ours: the book's section has none."""
        return self.notebook.cells[0].metadata.get('own', False)


def python_only(source):
    """A cell's source with its magics and shell lines made comments; positions stay."""
    return re.sub(r'^(\s*)[%!](?=[a-z{])', r'\1#', source, flags=re.M)


def _order(number):
    return tuple(map(int, number.split('.')))


def all_sections(root=ROOT):
    """All sections that have landed, in the book's order."""
    found = []
    for path in pathlib.Path(root).glob('ch*/s*.py'):
        m = re.fullmatch(r'ch(\d\d)_\w+/s(\d\d)_\w+\.py', path.relative_to(root).as_posix())
        if m:
            found.append(Section(f'{int(m[1])}.{int(m[2])}', path))
    return sorted(found, key=lambda section: _order(section.number))


def find(*wanted):
    """Sections for names as in the book: '6.6', a chapter '6', or 'all'; in the book's order.

    Raises UnknownSection, naming the nearest ones, before anything is run.
    """
    sections = {section.number: section for section in all_sections()}
    numbers = set()
    for name in wanted:
        hits = [n for n in sections if name in ('all', n, n.split('.')[0])]
        if not hits:
            chapters = list(dict.fromkeys(n.split('.')[0] for n in sections))
            near = ([n for n in sections if n.split('.')[0] == name.split('.')[0]]
                    or difflib.get_close_matches(name, [*sections, *chapters], 5, 0.3) or chapters)
            raise UnknownSection(f"there is no section '{name}' here; the nearest: "
                                 f"{', '.join(near)} (python -m chapters list shows all)")
        numbers.update(hits)
    return [sections[number] for number in sorted(numbers, key=_order)]
