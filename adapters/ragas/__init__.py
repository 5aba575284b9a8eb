"""ID-based context metrics by ragas."""
