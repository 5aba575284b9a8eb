"""Exact and approximate search by FAISS."""
