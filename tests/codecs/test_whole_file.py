"""Files are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from ratesight.codecs.whole_file import whole_file


def test_the_file_changes_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text("before")

    with whole_file(path) as part:
        part.write_text("after")
        assert path.read_text() == "before"

    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_where_writing_fails_the_file_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text("before")

    def write_half() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise ValueError("the other half")

    with pytest.raises(ValueError, match="the other half"):
        write_half()

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
