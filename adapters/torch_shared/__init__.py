"""What the torch adapters share: devices, dtypes, seeded generators. The one folder that others may import."""
