"""A fuzzer: damaged and strange models and calls, each of which has to succeed or to raise a `PyrecError`.

One trial of ten is a random schema with rows, whose answer plain Python knows; ``--seed 9 --step 10`` are
those alone.

``python -m tests.fuzz --seconds 3600`` in the repository's root. Everything follows from the seed.
"""
