"""Fusion heads in torch: every seed trained at once, as one stacked computation."""
