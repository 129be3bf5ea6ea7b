"""The book as a web site: `python -m chapters gallery`, or `make gallery`.

Sections are executed by chapters.execute, as everywhere; `cache` keeps them as long as nothing
that they depend on has changed, `pages` writes what Sphinx renders, `conf` is Sphinx's part. This
package uses `chapters` and `ci`, and neither uses it.
"""
import os
import sys


def make(sections, quick=False, jobs=None):
    """Build the site of some Sections and print where it is; return the exit status."""
    try:
        import furo  # noqa: F401
        import myst_nb  # noqa: F401
        import sphinx  # noqa: F401
        import sphinx_copybutton  # noqa: F401
        import sphinx_design  # noqa: F401

        from gallery import cache, pages
    except ModuleNotFoundError as err:
        print(f"{err}: pip install -c constraints.txt -e '.[dev,gallery]', or make gallery",
              file=sys.stderr)
        return 2
    try:
        print(os.path.relpath(pages.build(sections, quick, jobs)))
    except cache.GalleryError as err:
        print(err, file=sys.stderr)
        return 1
    return 0
