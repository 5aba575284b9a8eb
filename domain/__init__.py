"""Formulas, values and contracts. Pure: numpy, scipy, attrs, array-api-compat and the standard library."""
