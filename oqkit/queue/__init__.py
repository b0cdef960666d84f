"""The protocol: what the objects in a queue mean, and the only ways in which they change."""
