"""The journal: runs that share it, and what a killed one leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from ratesight.optimizer.search.journal import JournalLock, open_journal

WRITER = """
import sys
from pathlib import Path
import optuna
from ratesight.optimizer.search.journal import JournalLock
from ratesight.optimizer.search.study_storage import open_storage
optuna.logging.set_verbosity(optuna.logging.ERROR)
path, count = Path(sys.argv[1]), int(sys.argv[2])
live = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
storage = open_storage(path)
kept = storage.study("shared", live.directions)
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    trial = live.ask()
    x = trial.suggest_float("x", 0, 1)
    storage.keep(live, kept, live.tell(trial, x))
"""

HOLDER = """
import sys, time
from pathlib import Path
from ratesight.optimizer.search.journal import JournalLock
with JournalLock(path=Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.journal"


def write_trials(path: Path, count: int) -> None:
    study = optuna.create_study(
        storage=open_journal(path, JournalLock(path=path)), study_name="s", load_if_exists=True
    )
    for _ in range(count):
        study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), 1.0)


def num_trials(path: Path) -> int:
    storage = open_journal(path, JournalLock(path=path))
    return len(optuna.load_study(storage=storage, study_name="s").trials)


def test_a_half_written_line_is_cut_off_and_the_journal_goes_on(path: Path) -> None:
    write_trials(path, 2)
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]

    for length in (1, len(last) // 2, len(last) - 1):
        path.write_bytes(whole + last[:length])
        assert num_trials(path) == 2
        assert path.read_bytes() == whole
        path.write_bytes(whole + last[:length])
        write_trials(path, 1)
        assert num_trials(path) == 3
        path.write_bytes(whole)


def test_a_file_that_is_no_journal_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"something else")

    with pytest.raises(ValueError, match="it is no journal of Optuna's"):
        write_trials(path, 1)

    assert path.read_bytes() == b"something else"


def test_a_first_line_that_is_half_written_is_cut_off(path: Path) -> None:
    path.write_bytes(b'{"op_code":0,"wor')

    write_trials(path, 1)

    assert num_trials(path) == 1


def test_a_holder_may_take_the_lock_again(path: Path) -> None:
    lock = JournalLock(path=path)
    with lock, lock:
        pass
    with lock:
        assert lock.depth == 1
    assert lock.depth == 0


def test_who_is_killed_with_the_lock_blocks_nobody(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()

    started = time.monotonic()
    write_trials(path, 1)

    # Optuna's own lock is broken after 30 s.
    assert time.monotonic() - started < 20
    assert num_trials(path) == 1


def test_runs_at_once_keep_each_trial_once(path: Path) -> None:
    count = 25
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors

    for line in path.read_text().splitlines():
        json.loads(line)
    storage = open_journal(path, JournalLock(path=path))
    values = [
        trial.params["x"]
        for trial in optuna.load_study(study_name="shared", storage=storage).trials
    ]
    assert len(values) == len(set(values)) == count
