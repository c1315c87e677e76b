"""Backends: what turns a plan into something that runs."""

from pyrec_infer.backends.base import Executor
from pyrec_infer.backends.select import BACKENDS, available_backends, make_executor, select_backend

__all__ = ["BACKENDS", "Executor", "available_backends", "make_executor", "select_backend"]
