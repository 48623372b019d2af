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
    r"not supported|not compatible|ignored|ignoring|unable to parse",
    re.IGNORECASE,
)

_lock = Lock()
_listeners: list[int | None] = []  # each one's level to return to


@contextmanager
def encoder_log() -> Iterator[list[LogRecord]]:
    """Collects the warnings and errors that FFmpeg logs in this thread.

    PyAV throws FFmpeg's log away unless a level is set, and drops a line that repeats the one
    before it even when that was another encode's. Both switches are the whole process's, so the
    first of several encodes side by side turns them and the last one turns them back.
    """
    with _lock:
        _listeners.append(_listeners[0] if _listeners else av.logging.get_level())
        av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=True) as log:
            yield log
    finally:
        with _lock:
            level = _listeners.pop()
            if not _listeners:
                av.logging.set_level(level)
                av.logging.set_skip_repeated(True)


def log_lines(log: Sequence[LogRecord]) -> tuple[str, ...]:
    """Returns collected log records as lines."""
    return tuple(f"[{name}] {message.strip()}" for _, name, message in log if message.strip())


def ignored_option(lines: Sequence[str]) -> str | None:
    """Returns the first line that says that the encoder did not do what it was told."""
    return next((line for line in lines if _IGNORED.search(line)), None)
