"""Commands, Python API, experiment files and wiring: the only storey that knows everything."""
