"""A slice of the fuzz run: real clips of every container and codec, damaged, in real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def fuzz(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("fuzz_clips")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def material(fuzz: ModuleType, clips: Path, work: Path) -> Iterator[list[object]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVT_LOG", "1")
        yield fuzz.write_material(clips / "carphone_qcif.mp4", work)


def test_no_damaged_clip_crashes_hangs_or_surprises(
    fuzz: ModuleType, material: list[object], work: Path
) -> None:
    found = fuzz.run(material, work, range(500_000, 500_860), 2)

    assert found["files"] == 860
    assert found["bad"] == []
    assert (found["crashes"], found["hangs"], found["unexpected"]) == (0, 0, 0)
    # The damage is neither trifling nor total.
    for opened in ("probe", "load_source"):
        assert found[opened]["read"] > 20
        assert found[opened]["refused"] > 20

    # A run that is started again opens nothing twice.
    lines = (work / "done.jsonl").read_text()
    (work / "done.jsonl").write_text(lines + '{"number": 5000')
    assert fuzz.run(material, work, range(500_000, 500_860), 2) == found
    assert (work / "done.jsonl").read_text().startswith(lines)


def test_a_file_is_a_function_of_its_number(
    fuzz: ModuleType, material: list[object], tmp_path: Path
) -> None:
    for number in (0, 40, 77):
        contents = []
        for folder in ("one", "other"):
            what, path = fuzz.write_damaged(material, number, tmp_path / folder)
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            contents.append((what, [file.read_bytes() for file in files]))
        assert contents[0] == contents[1]


def test_a_worker_that_ends_is_a_crash(
    fuzz: ModuleType, material: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import os, sys; sys.stdin.readline(); os.abort()")
    monkeypatch.setattr(fuzz, "_WORKER", worker)

    found = fuzz.run(material, tmp_path, range(2), 1)

    assert found["crashes"] == 2
    assert [one["end"] for one in found["bad"]] == ["crash -6", "crash -6"]


def test_a_worker_that_does_not_answer_is_a_hang(
    fuzz: ModuleType, material: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import sys, time; sys.stdin.readline(); time.sleep(600)")
    monkeypatch.setattr(fuzz, "_WORKER", worker)
    monkeypatch.setattr(fuzz, "_HANG_SECONDS", 0.2)

    assert fuzz.run(material, tmp_path, range(2), 1)["hangs"] == 2


def test_damage_keeps_the_original(fuzz: ModuleType, material: list[object]) -> None:
    from benchmarks.fuzz_material import Whole, damage

    whole = Whole(name="x", files=(bytes(range(256)) * 20,))
    before = whole.files[0]
    for seed in range(30):
        what, files = damage(whole, np.random.default_rng(seed))
        assert what
        assert len(files) == 1
    assert whole.files[0] == before
