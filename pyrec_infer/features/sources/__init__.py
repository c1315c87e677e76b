"""Schemas from what training saved, without its framework; a module for each."""
