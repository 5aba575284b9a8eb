"""Encoders from the Hugging Face stack: transformers models, pooled."""
