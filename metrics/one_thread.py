"""Networks run on one thread here: several of them run side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside: set[int] = set()  # threads that are to have one thread only
_before = 1


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Has torch work on one thread, and leaves the caller's number as it was.

    Two threads of one network fight over a core that an encoder uses, at a loss seen to be a
    hundredfold. The number is each thread's own, but a new thread begins with what another one set
    last: so the number to go back to is the one that the first of several found.
    """
    global _before
    import torch

    thread = threading.get_ident()
    if thread in _inside:
        yield
        return
    with _lock:
        # Asked by every thread: one that only sets it takes over what another one sets later.
        found = torch.get_num_threads()
        if not _inside:
            _before = found
        _inside.add(thread)
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside.remove(thread)
            torch.set_num_threads(_before)
