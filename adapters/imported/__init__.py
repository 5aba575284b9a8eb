"""Embeddings from files that other programs wrote: .pt, .npy, .safetensors, Parquet, `datasets` directories."""
