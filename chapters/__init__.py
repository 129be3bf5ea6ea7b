"""The book: a folder a chapter, a Jupytext percent script a section (`python -m chapters list`)."""
