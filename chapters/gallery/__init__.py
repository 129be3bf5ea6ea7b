"""The book as a web site: `python -m chapters gallery`, or `make gallery`.

Sections are executed by chapters.execute, as everywhere; `cache` keeps them as long as nothing
that they depend on has changed, `pages` writes what Sphinx renders, `conf` is Sphinx's part.
"""
