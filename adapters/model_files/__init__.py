"""What a saved model consists of: its files, hashes, weights and tokenizer. Adapters may import it."""
