"""The checks: that d2l/book.py is generated anew, that the listings stand as printed, and that the
networks compute what they did."""
import os

os.environ.setdefault('D2L_FIGURES', '')        # what the checks train draws no files
