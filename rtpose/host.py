"""What this machine is: its processor, and the versions of what is installed."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def installed_version(package: str) -> str | None:
    """Version of an installed package; None if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def system_text(path: Path) -> str:
    """What the system says in a file of its own; nothing where it may not be read or has gone."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def processor() -> str:
    """Name of the processor, as well as the system knows it."""
    lines = system_text(Path("/proc/cpuinfo")).splitlines()
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
