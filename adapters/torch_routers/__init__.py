"""Routers in torch: model embeddings, the network over a base, and their artefacts."""
