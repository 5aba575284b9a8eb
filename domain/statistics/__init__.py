"""Intervals and tests that say no more than the examples allow."""
