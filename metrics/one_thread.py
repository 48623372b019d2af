"""Networks run on one thread here: several of them run side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Has torch work on one thread, and leaves the calling thread's number as it was.

    Two threads of one network fight over a core that an encoder uses, at a loss seen to be a
    hundredfold. A thread that begins while another one is in here takes one for its usual number.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
