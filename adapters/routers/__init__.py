"""Routers in NumPy and SciPy: baselines, and the stack of estimators that a network adds to."""
