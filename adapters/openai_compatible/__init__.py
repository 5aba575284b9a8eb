"""Embeddings by a server that speaks OpenAI's `/v1/embeddings`."""
