"""A run that is ended at any moment goes on: nothing finished is made again, and none is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from ratesight.optimizer.search.journal import JournalLock, open_journal

NUM_RUNS, NUM_ENDS = 2, 25
INTERRUPTED, TERMINATED = 130, 143
# What a run takes at most, here beside other tests; one that hangs tells where.
MAX_SECONDS = 120
STOPPED = "ratesight: stopped; what was measured is kept, the same command goes on from there\n"
RESULTS = ("settings", "rate_change_percent", "rate_kbps", "quality", "verified_quality")

# Importing all that a run needs takes seconds: once, and each run is a fork of what has it. Threads
# would not survive a fork; there are none as long as nothing is computed on more than one.
NURSERY = """
import faulthandler, json, os, signal, sys
import torch
torch.set_num_threads(1)
# What a shell starts in the background ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
import matplotlib.backends.backend_agg, matplotlib.backends.backend_svg
import ratesight.metrics.region_proposals
import ratesight.optimizer.api
import ratesight.optimizer.reports.page, ratesight.optimizer.reports.pictures
from ratesight.metrics.detector import load_detector
from ratesight.optimizer.commands.app import main
load_detector(sys.argv[1], image_size=128)
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, int):
        print(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]), flush=True)
        continue
    words, folder, scratch = asked
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.environ["TMPDIR"] = scratch
        for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o644), number)
        faulthandler.enable()
        sys.argv = ["ratesight", *words]
        code = 1
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(child, flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Nursery:
    """Starts runs in no time."""

    process: subprocess.Popen[str]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, words: list[str], folder: Path) -> int:
        """Starts a run in a folder and returns its process."""
        (folder / "scratch").mkdir(parents=True, exist_ok=True)
        return self._ask([words, str(folder), str(folder / "scratch")])

    def wait(self, run: int) -> int:
        """Returns the exit code of a run, negative where a signal ended it, as one that hangs."""
        deadline = time.monotonic() + MAX_SECONDS
        while is_running(run):
            if time.monotonic() > deadline:
                os.kill(run, signal.SIGABRT)
                deadline = float("inf")
            time.sleep(0.005)
        return self._ask(run)

    def _ask(self, what: object) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def nursery(weights: Path) -> Iterator[Nursery]:
    process = subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    yield Nursery(process=process)
    process.stdin.close()
    process.wait()
    process.stdout.close()


def command(clips: Path, weights: Path, store: Path, *words: str) -> list[str]:
    return [
        "tune", str(clips / "carphone_qcif.mp4"), "--max-seconds", "0.3", "--trials", "3",
        "--preset", "veryfast", "--target-quality", "0.85", "--jobs", "1", "--image-size", "128",
        "--frames-per-second", "8", "--tolerance", "1", "--detector", str(weights),
        "--store", str(store), "--out", "out", "--json", *words,
    ]  # fmt: skip


def stored(store: Path) -> dict[str, str]:
    """Returns value by key of what was measured for a store that nobody has open.

    Without what is kept for reports: that is of the last run of each request.
    """
    if not store.exists():
        return {}
    with contextlib.closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            return {}  # ended before it was made
        rows = connection.execute("SELECT key_json, value_json FROM results").fetchall()
    assert len(dict(rows)) == len(rows)
    return {key: value for key, value in rows if json.loads(key)["kind"] != "report"}


def told(folder: Path) -> list[dict[str, Any]]:
    """Returns the events that a run has told so far."""
    if not (folder / "stdout").exists():
        return []
    lines = (folder / "stdout").read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def finished(nursery: Nursery, run: int, folder: Path) -> list[dict[str, Any]]:
    """Waits for a run and returns all that it told."""
    assert nursery.wait(run) == 0, (folder / "stderr").read_text()
    return told(folder)


def is_running(run: int) -> bool:
    """Returns whether a process has not ended; the nursery has not waited for it yet."""
    return Path(f"/proc/{run}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def all_searched_are_stored(events: list[dict[str, Any]]) -> bool:
    """Returns whether a run read all of its search and made none of it."""
    searched = [
        event["is_from_store"]
        for event in events
        if event["type"] == "point_measured" and event["role"] == "search"
    ]
    return bool(searched) and all(searched)


def num_trials(journal: Path) -> list[int]:
    """Returns the number of trials of each study in a journal."""
    storage = open_journal(journal, JournalLock(path=journal))
    return [study.n_trials for study in optuna.get_all_study_summaries(storage)]


@pytest.fixture(scope="module")
def untouched(
    nursery: Nursery, clips: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """All that a run tells that nobody ends."""
    folder = tmp_path_factory.mktemp("untouched")
    run = nursery.start(command(clips, weights, folder / "store.sqlite"), folder)
    return finished(nursery, run, folder)


def end_again_and_again(
    nursery: Nursery, words: list[str], folder: Path, store: Path, num_events: int, seed: int
) -> None:
    """Starts a run and ends it at a random moment, NUM_ENDS times; checks what each leaves."""
    choose = random.Random(seed)
    num_ended, before = 0, dict[str, str]()
    while num_ended < NUM_ENDS:
        how = choose.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        after_events, delay = choose.randrange(num_events), 0.1 * choose.random()
        (folder / "stdout").unlink(missing_ok=True)
        run = nursery.start(words, folder)
        # After so many events and a little later: also in the middle of what makes the next one.
        while len(told(folder)) < after_events and is_running(run):
            time.sleep(0.005)
        time.sleep(delay)
        os.kill(run, how)
        code = nursery.wait(run)

        after = stored(store)
        assert {key: after[key] for key in before} == before
        before = after
        assert list((folder / "scratch").iterdir()) == []
        if code == 0:
            continue
        num_ended += 1
        expected = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}.get(how, -how)
        # Before the command listens and after it has ended, Python itself answers a signal.
        events = told(folder)
        is_edge = not events or events[-1]["type"] == "recommendation"
        edge_codes = [-how, 1] if is_edge else []
        assert code in [expected, *edge_codes], (folder / "stderr").read_text()
        if code in (INTERRUPTED, TERMINATED):
            said = (folder / "stderr").read_text()
            # Typer, too, ends with 130 where the command does not listen, and says nothing.
            assert said.endswith(STOPPED) or (is_edge and code == INTERRUPTED and not said)


def test_a_run_goes_on_from_fifty_ends(
    nursery: Nursery,
    untouched: list[dict[str, Any]],
    clips: Path,
    weights: Path,
    tmp_path: Path,
) -> None:
    # Two at once on one store, so that there is also somebody whom an end could disturb.
    store = tmp_path / "store.sqlite"
    words = command(clips, weights, store)
    folders = [tmp_path / str(number) for number in range(NUM_RUNS)]
    with ThreadPoolExecutor(NUM_RUNS) as pool:
        ending = [
            pool.submit(end_again_and_again, nursery, words, folder, store, len(untouched), number)
            for number, folder in enumerate(folders)
        ]
        for one in ending:
            one.result()
    before, folder = stored(store), folders[0]

    found = finished(nursery, nursery.start(words, folder), folder)

    after = stored(store)
    assert {key: after[key] for key in before} == before
    for field_name in RESULTS:
        assert found[-1][field_name] == untouched[-1][field_name]
    assert all_searched_are_stored(found)
    assert num_trials(tmp_path / "store.journal") == [3]
    json.loads((folder / "out" / "recommendation.json").read_text())


def test_runs_at_once_share_a_store(
    nursery: Nursery,
    untouched: list[dict[str, Any]],
    clips: Path,
    weights: Path,
    tmp_path: Path,
) -> None:
    store = tmp_path / "store.sqlite"
    same = command(clips, weights, store)
    runs = {
        name: nursery.start(words, tmp_path / name)
        for name, words in {"one": same, "other": same, "else": [*same, "--seed", "1"]}.items()
    }

    found = {name: finished(nursery, run, tmp_path / name) for name, run in runs.items()}

    for name in ("one", "other"):
        for field_name in RESULTS:
            assert found[name][-1][field_name] == untouched[-1][field_name]
    # All that any of them measured is there, once, and the next one measures nothing again.
    again = finished(nursery, nursery.start(same, tmp_path / "again"), tmp_path / "again")
    assert all_searched_are_stored(again)
    assert num_trials(tmp_path / "store.journal") == [3, 3]
