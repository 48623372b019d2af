"""Results of benchmarks: JSON files, and the code that made them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ratesight.codecs.whole_file import whole_file

_ROOT = Path(__file__).parents[1]


def write_results(results: object, path: Path) -> None:
    """Writes results as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")


def commit_here() -> str | None:
    """Returns the commit of the code, with a plus where it was changed; None outside of git."""
    folders = ("codecs", "metrics", "optimizer")
    try:
        commit, changes = (
            subprocess.run(["git", *words], cwd=_ROOT, check=True, capture_output=True, text=True)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", *folders])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changes.stdout else "")
