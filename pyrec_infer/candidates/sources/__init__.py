"""Readers of what other libraries have learned: arrays of their objects, and files without pickles."""
