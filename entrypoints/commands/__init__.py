"""One command a file; heavy imports happen inside the callbacks."""
