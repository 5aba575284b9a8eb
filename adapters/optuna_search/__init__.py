"""Optuna: which settings to try next."""
