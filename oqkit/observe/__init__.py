"""What happens in this process, and who is told of it."""
