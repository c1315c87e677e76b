"""Passes that run for each graph that becomes a plan, and what they share."""
