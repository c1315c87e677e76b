"""Columns hashed as other systems do."""

from pyrec_infer.fingerprints.crosses import cross_fingerprint, cross_to_bucket
from pyrec_infer.fingerprints.values import fingerprint, hash_to_bucket

__all__ = ["cross_fingerprint", "cross_to_bucket", "fingerprint", "hash_to_bucket"]
