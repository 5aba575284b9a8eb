"""Approximate search by usearch."""
