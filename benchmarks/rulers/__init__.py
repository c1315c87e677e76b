"""Ranking models with random weights that measure this library against general runtimes."""
