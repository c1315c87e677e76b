"""A short report of the machine and the installation, for reports of problems."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from pyrec_infer.backends import BACKENDS, available_backends, select_backend
from pyrec_infer.errors import BackendError
from pyrec_infer.extension import native

PACKAGES = ("pyrec_infer", "numpy", "onnx", "onnxruntime", "numba")


def package_version(name: str) -> str:
    """The installed version of a package, or that there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def cpu_features() -> str:
    """What kernels can use of this processor, as far as the native extension tells."""
    if native is None:
        return "unknown, this build has no native extension"
    return ", ".join(name for name, present in native.cpu_features().items() if present) or "none"


def report() -> str:
    """Processor, backends and versions, one line each.

    >>> print(report())
    processor            ...
    """
    try:
        chosen = select_backend()
    except BackendError as error:
        chosen = f"none: {error}"
    available = available_backends()
    missing = [name for name in BACKENDS if name not in available]
    lines = {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "features": cpu_features(),
        "backends": ", ".join(available) + (f" (not here: {', '.join(missing)})" if missing else ""),
        "backend in use": chosen,
        "system": platform.platform(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: package_version(name) for name in PACKAGES},
    }
    return "\n".join(f"{label:<20} {value}" for label, value in lines.items())
