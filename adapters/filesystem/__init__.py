"""Everything on disk: sets of embeddings, the spool of the input, run directories."""
