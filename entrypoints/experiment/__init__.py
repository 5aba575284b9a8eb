"""The experiment file: its schema, and how text becomes frozen values, once, at the border."""
