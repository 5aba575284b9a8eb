"""Files of embeddings for other tools."""
