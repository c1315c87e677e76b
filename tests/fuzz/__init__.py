"""A fuzzer: damaged and strange models and calls, each of which has to succeed or to raise a `PyrecError`.

``python -m tests.fuzz --seconds 3600`` in the repository's root. Everything follows from the seed.
"""
