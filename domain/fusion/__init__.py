"""Fusion formulas, generic over numpy and torch, and the table of their kinds."""
