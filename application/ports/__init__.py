"""What the application needs from the world, one small protocol a file, stated in its own terms."""
