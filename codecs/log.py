"""Reads what an encoder says, because FFmpeg only warns when an option is ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

import av.logging

LogRecord = tuple[int, str, str]

_IGNORED = re.compile(
    r"error parsing option|unknown option|invalid value|skipping roi|roi is only enabled|"
    r"not supported|not compatible|ignored|ignoring|unable to parse|"
    r"cannot be smaller than|assuming cbr|mb-tree requires",
    re.IGNORECASE,
)

_lock = Lock()
_levels: list[int] = []  # what each listener wants to hear
_level_before: int | None = None


@contextmanager
def encoder_log(level: int = av.logging.WARNING) -> Iterator[list[LogRecord]]:
    """Collects what FFmpeg logs in this thread, warnings and errors unless told otherwise.

    PyAV throws FFmpeg's log away unless a level is set, and drops a line that repeats the one
    before it even when that was another encode's. Both switches are the whole process's, so the
    first of several encodes side by side turns them and the last one turns them back.
    """
    global _level_before
    with _lock:
        if not _levels:
            _level_before = av.logging.get_level()
            av.logging.set_skip_repeated(False)
        _levels.append(level)
        av.logging.set_level(max(_levels))
    try:
        with av.logging.Capture(local=True) as log:
            yield log
    finally:
        with _lock:
            _levels.remove(level)
            av.logging.set_level(max(_levels) if _levels else _level_before)
            if not _levels:
                av.logging.set_skip_repeated(True)


def log_lines(log: Sequence[LogRecord], level: int = av.logging.WARNING) -> tuple[str, ...]:
    """Returns collected log records as lines, those up to a level."""
    return tuple(
        f"[{name}] {message.strip()}"
        for record_level, name, message in log
        if record_level <= level and message.strip()
    )


def ignored_option(lines: Sequence[str]) -> str | None:
    """Returns the first line that says that the encoder did not do what it was told."""
    return next((line for line in lines if _IGNORED.search(line)), None)
