"""Plans that run: made for one split of the inputs, ready in a backend, called with arrays."""
