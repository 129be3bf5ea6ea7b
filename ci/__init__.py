"""The checks: the library is generated, the book stands verbatim, the networks compute what they
did."""
import os

os.environ.setdefault('D2L_FIGURES', '')        # what the checks train draws no files
