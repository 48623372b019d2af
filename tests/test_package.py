"""The front door, and what is published."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ratesight

_CHECKOUT = Path(__file__).resolve().parents[1]


def test_version_is_the_distribution_s() -> None:
    assert ratesight.__version__ == importlib.metadata.version("ratesight")


def test_public_names_are_found_at_first_use() -> None:
    for name in ratesight.__all__:
        assert getattr(ratesight, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'warp'"):
        ratesight.warp  # noqa: B018  # the look-up is the test


def test_import_is_light() -> None:
    code = "import ratesight, sys; print(sorted({'av', 'torch', 'optuna'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_readme_tables_are_those_of_the_results() -> None:
    # From the checkout, which PYTHONSAFEPATH would keep from being found.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, "-m", "benchmarks.tables", "--check"]
    assert subprocess.run(command, cwd=_CHECKOUT, env=environment).returncode == 0


@pytest.mark.parametrize("name", ["tuning.json", "regions.json"])
def test_no_run_is_published_twice(name: str) -> None:
    runs = json.loads((_CHECKOUT / "benchmarks" / "results" / name).read_text())["runs"]
    assert len({(run["clip"], run["codec"]) for run in runs}) == len(runs)


def test_types_are_shipped() -> None:
    assert (Path(ratesight.__file__).parent / "py.typed").exists()


def test_one_error_is_the_root_of_all() -> None:
    with pytest.raises(ratesight.RatesightError, match="does not exist"):
        ratesight.score("missing.mp4", "missing.mp4", metrics="psnr")
    with pytest.raises(ratesight.RatesightError, match="must be"):
        ratesight.tune("missing.mp4", target_quality=2)


def test_what_is_public_is_listed() -> None:
    assert set(ratesight.__all__) == set(dir(ratesight))
