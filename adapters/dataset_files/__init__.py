"""What every source that reads files shares: which files a split is made of."""
