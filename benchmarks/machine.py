"""What a benchmark ran on, for its JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

_DISTRIBUTIONS = ("ratesight", "av", "torch", "ultralytics", "optuna", "numpy", "scipy")


def describe_machine() -> dict[str, object]:
    """Returns processor, cores, system and library versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
