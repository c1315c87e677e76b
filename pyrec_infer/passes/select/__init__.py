"""Passes that run once for what calls ask for."""
