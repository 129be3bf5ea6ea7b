"""The checks: is d2l/book.py fresh, are the listings as printed, and do the networks compute what
they did?"""
import os

os.environ.setdefault('D2L_FIGURES', '')        # the checks write no figures
