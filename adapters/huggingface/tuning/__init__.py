"""Tuning a transformers encoder: what is trained, and how the result is saved."""
