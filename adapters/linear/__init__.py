"""Linear controls on numpy and scipy."""
