"""Routing: which model answers a prompt best, and at what price."""
