"""Exact search by NumPy over a memory-mapped matrix."""
