"""Texts from anywhere reach a terminal or a picture as they are."""

from __future__ import annotations

import pytest
from ratesight.optimizer.reports.plain_text import picture_text, printable


@pytest.mark.parametrize("text", ["clip.mp4", "Straße ключ 道.mp4", "two\nlines\tand a tab", ""])
def test_ordinary_texts_stay(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\r\x08\x7f\x9b31m", r"\r\x08\x7f\x9b31m"),
        ("\u202egpm.mp4\u2066", r"\u202egpm.mp4\u2066"),
        ("\udcff.mp4", r"\udcff.mp4"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    shown.encode()


def test_a_picture_shows_no_formula() -> None:
    assert picture_text("$\\frac{$\x1b") == r"\$\frac{\$\x1b"
