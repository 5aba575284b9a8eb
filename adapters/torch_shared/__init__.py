"""What the torch adapters share: devices, dtypes, batches within a token budget. Adapters may import it."""
