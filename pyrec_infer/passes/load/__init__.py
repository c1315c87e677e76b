"""Passes that run once for a model."""
