"""What a function is: declaration, identity, shipping, calling, failure."""
