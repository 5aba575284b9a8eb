"""TF-IDF with cosine similarity, by scipy."""
