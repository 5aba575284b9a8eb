"""Embeddings that need no model: hashed n-grams."""
