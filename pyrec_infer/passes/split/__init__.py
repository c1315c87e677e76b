"""Passes that run for each way to split the inputs into sides, and what they share."""
