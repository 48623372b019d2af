"""Threads that measure, and that Ctrl-C cannot leave waiting for each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, ParamSpec, TypeVar

from ..interruption import held_back

P = ParamSpec("P")
T = TypeVar("T")
# How long Ctrl-C waits at most while the main thread waits for others.
_POLL_SECONDS = 0.1


class Pool(ThreadPoolExecutor):
    """A pool whose locks no signal comes upon; its futures go to ``result_of``."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has a thread call it."""
        with held_back():
            return super().submit(fn, *args, **kwargs)

    def map(  # type: ignore[override]  # no time limit, no chunks
        self, fn: Callable[..., T], *iterables: Iterable[Any]
    ) -> Iterator[T]:
        """Has threads call it on all there is, and yields the results in order.

        What has not begun when one fails is dropped.
        """
        futures = [self.submit(fn, *each) for each in zip(*iterables, strict=True)]

        def results() -> Iterator[T]:
            try:
                for future in futures:
                    yield result_of(future)
            finally:
                with held_back():
                    for future in futures:
                        future.cancel()

        return results()

    def end(self) -> None:
        """Drops what has not begun and waits for the rest."""
        with held_back():
            self.shutdown(wait=False, cancel_futures=True)
        self.shutdown(wait=True)


def result_of(future: Future[T]) -> T:
    """Waits for a future of a pool and returns its result, or raises its error."""
    first_done([future])
    with held_back():
        return future.result()


def first_done(futures: Collection[Future[T]]) -> set[Future[T]]:
    """Waits until at least one future is done, and returns those that are."""
    while True:
        with held_back():
            done, _ = wait(futures, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        if done:
            return done
