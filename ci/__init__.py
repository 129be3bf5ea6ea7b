"""The checks: the library is generated, the book stands verbatim, the networks compute what they did."""
