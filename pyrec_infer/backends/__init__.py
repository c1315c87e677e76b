"""Backends: what turns a plan into something that runs."""

from pyrec_infer.backends.base import Runnable
from pyrec_infer.backends.select import BACKENDS, available_backends, make_runnable, select_backend

__all__ = ["BACKENDS", "Runnable", "available_backends", "make_runnable", "select_backend"]
