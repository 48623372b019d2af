"""Keeps a library from making this thread a real-time one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_scheduling() -> Iterator[None]:
    """Gives the calling thread its scheduling policy back.

    SVT-AV1 makes the thread that opens it a real-time one (SCHED_FIFO 99) where the process may,
    as root may in a container. It stays one, and starves everything else on the machine.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)
