"""What every kind of index on disk shares: vectors checked as they come, and files written whole."""
