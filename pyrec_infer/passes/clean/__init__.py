"""Passes after which the next ones see who really reads a value; several tuples run them."""
