"""Commands survive a real shell."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ratesight.codecs.shell import shell_join

WORDS = [
    "plain.mp4", "my clip.mp4", "it's.mp4", 'say "hi".mp4', "a;touch created", "$(touch created)",
    "`touch created`", "%03d.png", "-rf", "a\nb.mp4", "\x1b[2J.mp4", "\x1b]0;title\x07",
    "back\\slash", "new\r\nline", "tab\t", "\u202egpm.mp4", "\udcff.mp4", "\x01" + "1",
    "ключ\u200b.mp4", "", "'\n'",
]  # fmt: skip


def read_by_bash(command: str, folder: os.PathLike[str]) -> list[bytes]:
    script = f"printf '%s\\0' {command}"
    done = subprocess.run(
        ["bash", "-c", os.fsencode(script)], capture_output=True, check=True, cwd=folder
    )
    return done.stdout.split(b"\0")[:-1]


def test_a_shell_reads_the_very_words(tmp_path: os.PathLike[str]) -> None:
    command = shell_join(WORDS)

    assert command.isprintable()
    assert read_by_bash(command, tmp_path) == [os.fsencode(word) for word in WORDS]
    assert os.listdir(tmp_path) == []


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_a_shell_reads_any_words(words: list[str]) -> None:
    words = ["x", *words]
    command = shell_join(words)

    assert command.isprintable()
    assert read_by_bash(command, "/") == [word.encode() for word in words]


@pytest.mark.parametrize("word", ["plain", "my clip.mp4", "it's"])
def test_ordinary_words_are_quoted_as_usual(word: str) -> None:
    import shlex

    assert shell_join([word]) == shlex.quote(word)
