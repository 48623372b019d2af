"""Files of results: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from ratesight.optimizer.errors import OutputError
from ratesight.optimizer.output import write_whole


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
