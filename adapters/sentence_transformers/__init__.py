"""Saved sentence-transformers pipelines, with modules that the huggingface adapter does not follow."""
