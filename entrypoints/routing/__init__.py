"""Experiments of ``kind = "route"``: their settings, wiring, steps and reports."""
