"""Trackers: where the numbers of each epoch go."""
