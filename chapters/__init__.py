"""The book: one folder per chapter, one Jupytext percent script per section (`python -m chapters
list`)."""
