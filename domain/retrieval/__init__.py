"""Retrieval: pairs of queries and documents, contrastive losses, batches, mined negatives, ranked lists."""
