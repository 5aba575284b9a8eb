"""Experiments of ``kind = "retrieve"``: their settings, wiring, steps and reports."""
