"""Formulas that several passes and transforms write."""

from __future__ import annotations

from typing import Any

from pyrec_infer.passes.common.writer import Writer


def log1p(writer: Writer, x: str, dtype: Any) -> str:
    """log(u) x / (u - 1) for u = 1 + x, which makes up for what u lost (Kahan); log(u) for large x."""
    one = writer.constant(1, dtype)
    u = writer.node("Add", x, one)
    plain = writer.node("Log", u)
    exact = writer.node("Mul", plain, writer.node("Div", x, writer.node("Sub", u, one)))
    small = writer.node("Where", writer.node("Equal", u, one), x, exact)
    near = writer.node("Less", writer.node("Abs", x), one)
    return writer.node("Where", near, small, plain)


def expm1(writer: Writer, x: str, dtype: Any) -> str:
    """(u - 1) x / log(u) for u = exp(x), which makes up for what u lost (Kahan); u - 1 for large x."""
    one = writer.constant(1, dtype)
    u = writer.node("Exp", x)
    plain = writer.node("Sub", u, one)
    exact = writer.node("Mul", plain, writer.node("Div", x, writer.node("Log", u)))
    small = writer.node("Where", writer.node("Equal", u, one), x, exact)
    near = writer.node("Less", writer.node("Abs", x), one)
    return writer.node("Where", near, small, plain)


__all__ = ["expm1", "log1p"]
