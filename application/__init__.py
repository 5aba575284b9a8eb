"""What the tool does: `ports` say what it needs from the world, `services` hold one use case a file."""
