"""What a difference between two classifiers is worth: bootstrap, McNemar, Holm, and the verdict."""
