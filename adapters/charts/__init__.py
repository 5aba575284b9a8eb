"""Charts: figures as SVG documents."""
