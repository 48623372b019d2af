"""Files of results: whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from ratesight.optimizer.errors import OutputError
from ratesight.optimizer.reports.output import remove_earlier, write_whole
from ratesight.optimizer.reports.pictures import save_figure


def test_a_file_is_replaced_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("before")

    write_whole("a,b\r\n1,2\n", path)

    assert path.read_bytes() == b"a,b\r\n1,2\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match=r"taken cannot be written: Is a directory"):
        write_whole("x", tmp_path / "taken")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(OutputError, match=r"missing/x cannot be written: No such file"):
        write_whole("x", tmp_path / "missing" / "x")


def test_what_an_earlier_run_left_goes_by_name_or_pattern(tmp_path: Path) -> None:
    for name in ("curves.png", "curves-0.png", "curves-1.png", "shots.sh"):
        (tmp_path / name).touch()

    remove_earlier(tmp_path, "curves-*.png", "shots.sh", "never.csv")

    assert [one.name for one in tmp_path.iterdir()] == ["curves.png"]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_whole(b"\x89PNG\r\n", tmp_path / "one.png")

    assert (tmp_path / "one.png").read_bytes() == b"\x89PNG\r\n"


def test_a_full_disk_keeps_what_was_there(small_disk: Path) -> None:
    path = small_disk / "recommendation.json"
    write_whole("before", path)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))

    with pytest.raises(OutputError, match=r"json cannot be written: No space left on device"):
        write_whole("x" * 50_000, path)

    assert path.read_text() == "before"
    assert {one.name for one in small_disk.iterdir()} == {"recommendation.json", "ballast"}


def test_a_picture_is_written_whole_or_not_at_all(small_disk: Path) -> None:
    path = small_disk / "curves.png"
    path.write_bytes(b"an earlier picture")
    figure = Figure(figsize=(6, 6), dpi=150)
    figure.subplots().imshow(np.random.default_rng(0).random((600, 600)), interpolation="nearest")

    with pytest.raises(OutputError, match=r"curves.png cannot be written: No space left on device"):
        save_figure(figure, path)

    assert path.read_bytes() == b"an earlier picture"
    assert [one.name for one in small_disk.iterdir()] == ["curves.png"]
