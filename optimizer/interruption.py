"""Ctrl-C and SIGTERM end a command at once, but never inside a lock that threads share.

Python raises a KeyboardInterrupt between any two steps of the main thread. Inside the locks of
``concurrent.futures``, which are written in Python, it leaves them locked for ever, and the thread
that needs one next never ends. So a signal that comes there is held back until the lock is free.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM: a scheduler or a shutdown asks the process to end."""


_ERRORS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


class _Held:
    """How many blocks hold signals back, and the one that came; of the main thread alone."""

    depth = 0
    number: int | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets both signals raise in the main thread; in other threads it does nothing."""
    if not _is_main():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ERRORS}
    # What runs behind a shell script ignores Ctrl-C, which is not meant for it.
    heard = {number: one for number, one in before.items() if one is not signal.SIG_IGN}
    try:
        for number in heard:
            signal.signal(number, _stop)
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Raises what comes meanwhile at the end of the block, which must be short."""
    if not _is_main():
        yield
        return
    _Held.depth += 1
    try:
        yield
    finally:
        _Held.depth -= 1
        if _Held.depth == 0 and _Held.number is not None:
            number, _Held.number = _Held.number, None
            raise _ERRORS[number]


def _stop(number: int, frame: FrameType | None) -> None:
    if _Held.depth:
        _Held.number = number
    else:
        raise _ERRORS[number]


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
