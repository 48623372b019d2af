"""What torch's number of threads is within, beside and after our own work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from ratesight.metrics.one_thread import one_torch_thread


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_one_within_and_the_callers_number_after() -> None:
    with one_torch_thread():
        with one_torch_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == in_a_new_thread() == 2


def test_threads_that_overlap_leave_the_number_to_new_threads() -> None:
    both_in, first_out = Barrier(2), Barrier(2)

    def first() -> int:
        with one_torch_thread():
            both_in.wait(10)
        first_out.wait(10)
        return torch.get_num_threads()

    def second() -> tuple[int, int]:
        with one_torch_thread():
            both_in.wait(10)
            first_out.wait(10)
            within = torch.get_num_threads()
        return within, torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        assert (one.result(), other.result()) == (2, (1, 2))
    assert torch.get_num_threads() == in_a_new_thread() == 2
