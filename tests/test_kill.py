"""A run that is killed goes on: no finished measurement is made again, and none is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path


def command(clips: Path, weights: Path, folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "ratesight", "tune", str(clips / "carphone_qcif.mp4"),
        "--max-seconds", "1", "--trials", "8", "--target-quality", "0.85", "--jobs", "2",
        "--image-size", "192", "--tolerance", "1",
        "--detector", str(weights), "--store", str(folder / "store.sqlite"),
        "--out", str(folder / "out"), "--json",
    ]  # fmt: skip


def stored_measurements(store: Path) -> dict[str, str]:
    """Returns value by key of the measurements that are in a store, with no one writing."""
    if not store.exists():
        return {}
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT key_json, value_json FROM results").fetchall()
    except sqlite3.OperationalError:
        return {}  # not created yet
    finally:
        connection.close()
    return {key: value for key, value in rows if json.loads(key)["kind"] == "measurement"}


def run_to_the_end(arguments: list[str], folder: Path) -> list[dict[str, object]]:
    done = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, check=True, timeout=300
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_killed_run_goes_on(clips: Path, weights: Path, tmp_path: Path) -> None:
    kill_after = 5
    arguments = command(clips, weights, tmp_path)
    store = tmp_path / "store.sqlite"
    process = subprocess.Popen(
        arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while len(stored_measurements(store)) < kill_after:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = stored_measurements(store)
    assert len(before) >= kill_after

    resumed = run_to_the_end(arguments, tmp_path)

    after = stored_measurements(store)
    # What was finished is still there, unchanged, and was read, not made again.
    assert {key: after[key] for key in before} == before
    recommendation = resumed[-1]
    assert recommendation["num_from_store"] == len(before)
    searched = [
        line for line in resumed if line["type"] == "point_measured" and line["role"] == "search"
    ]
    assert sum(bool(line["is_from_store"]) for line in searched) == len(before)

    # The same as a run that nobody killed.
    untouched = run_to_the_end(command(clips, weights, tmp_path / "untouched"), tmp_path)[-1]
    for field in ("settings", "rate_change_percent", "rate_kbps", "quality", "verified_quality"):
        assert recommendation[field] == untouched[field]
    encodes = [recommendation["num_encodes"], untouched["num_encodes"]]
    assert encodes[0] == int(str(encodes[1])) - len(before)
