"""Keeps a library from making real-time threads."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def kept_scheduling() -> Iterator[None]:
    """Gives the calling thread its scheduling policy back, and to those that it started the same.

    SVT-AV1 makes the thread that opens it a real-time one (SCHED_FIFO 99) where the process may,
    as root may in a container, and the encoder's own threads inherit that. They stay so, and
    starve everything else on the machine.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    others = _threads() - {threading.get_native_id()}
    try:
        yield
    finally:
        for thread in _threads() - others:
            with suppress(ProcessLookupError):  # it has ended
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/task")}
