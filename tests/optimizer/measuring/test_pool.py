"""No signal leaves a pool's threads waiting for each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ratesight.optimizer.interruption import Terminated, held_back, interruptible
from ratesight.optimizer.measuring.pool import Pool, first_done, result_of

# Uses pools, and interrupts itself at a random moment, again and again. With Python's own pool and
# futures it hangs within a second.
INTERRUPTED = """
import random, signal
from ratesight.optimizer.interruption import interruptible
from ratesight.optimizer.measuring.pool import Pool, first_done, result_of

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
with interruptible():
    for seed in range(1500):
        pool = Pool(2)
        try:
            signal.setitimer(signal.ITIMER_REAL, random.Random(seed).uniform(1e-4, 3e-3))
            while True:
                for number in pool.map(abs, range(-5, 0)):
                    first_done([pool.submit(abs, number)])
                    result_of(pool.submit(abs, number))
        except KeyboardInterrupt:
            pool.end()
print("ended")
"""


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def interrupted_after(seconds: float, number: signal.Signals) -> Iterator[None]:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_a_pool_ends_whenever_a_signal_comes() -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True, timeout=120
    )

    assert run.stdout == "ended\n"


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_waits_for_the_end_of_the_block(
    number: signal.Signals, error: type[KeyboardInterrupt]
) -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible(), held_back():
            with held_back():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")

    with pytest.raises(error):
        work()

    assert done == ["inner", "outer"]


def test_a_signal_outside_of_it_raises_at_once() -> None:
    done: list[str] = []

    def work() -> None:
        with interruptible():
            with held_back():
                done.append("held back")
            signal.raise_signal(signal.SIGINT)
            done.append("lost")

    with pytest.raises(KeyboardInterrupt):
        work()

    assert done == ["held back"]


def test_waiting_for_a_result_is_interrupted() -> None:
    wake, pool = threading.Event(), Pool(1)
    future = pool.submit(wake.wait, 30)
    started = time.monotonic()

    with pytest.raises(Terminated), interrupted_after(0.3, signal.SIGTERM), interruptible():
        result_of(future)

    assert time.monotonic() - started < 5
    wake.set()
    pool.end()
    assert future.result() is True


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before[1]

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_map_yields_in_order_and_drops_the_rest_of_what_fails() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise KeyError(number)
        time.sleep(0.05)
        return number

    pool = Pool(1)
    results = pool.map(work, range(50))

    assert next(results) == 0
    with pytest.raises(KeyError):
        next(results)
    pool.end()

    assert len(begun) < 50


def test_the_first_that_is_done_is_told_of() -> None:
    wake, pool = threading.Event(), Pool(2)
    slow, quick = pool.submit(wake.wait, 30), pool.submit(abs, -1)

    done = first_done([slow, quick])

    assert done == {quick}
    wake.set()
    pool.end()
