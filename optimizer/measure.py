"""Measures settings, and nothing twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..codecs.settings import EncodeSettings
from .bench import Bench, Measurement, measurement_from_json
from .store import Store


class StoppedError(Exception):
    """The run is being given up; raised in its threads."""


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a run has spent: seconds of one job by kind of work, and counts of encodes."""

    seconds: Counter[str] = field(default_factory=Counter)
    num_encodes: int = 0
    num_from_store: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **seconds: float) -> None:
        """Adds seconds to kinds of work."""
        with self.lock:
            for kind, value in seconds.items():
                self.seconds[kind] += value  # type: ignore[assignment]  # Counter adds floats


@dataclass(slots=True, kw_only=True)
class Measurer:
    """Measures in threads of this process.

    Threads are enough: encoders, decoders and networks all let go of the interpreter lock, and
    the source stays in one place.
    """

    store: Store
    pool: ThreadPoolExecutor
    spent: Spent = field(default_factory=Spent)
    stop: threading.Event = field(default_factory=threading.Event)

    def measure(self, bench: Bench, settings: EncodeSettings) -> tuple[Measurement, bool]:
        """Returns the measurement, and whether the store had it. May be called in any thread.

        Raises:
            EncodeError: The encode failed.
            StoppedError: The run is being given up.
        """
        if self.stop.is_set():
            raise StoppedError
        key = bench.measurement_key(settings)
        stored = self.store.get(key)
        if stored is not None:
            with self.spent.lock:
                self.spent.num_from_store += 1
            return measurement_from_json(stored), True
        return self.measure_afresh([bench], settings)[0], False

    def measure_afresh(
        self, benches: Sequence[Bench], settings: EncodeSettings
    ) -> list[Measurement]:
        """Encodes once, whatever the store holds, and shows it to the machine of each bench.

        Args:
            benches: Of one source, the same segments and regions.

        Raises:
            EncodeError: The encode failed.
            StoppedError: The run is being given up.
        """
        if self.stop.is_set():
            raise StoppedError
        encoding = benches[0].encode(settings)
        measurements = []
        for bench in benches:
            measurement = bench.look(encoding)
            self.store.put(bench.measurement_key(settings), measurement.to_json())
            measurements.append(measurement)
            self.spent.add(decode=measurement.decode_seconds, detect=measurement.detect_seconds)
        with self.spent.lock:
            self.spent.num_encodes += 1
        self.spent.add(encode=encoding.encode_seconds)
        return measurements

    def count(self, measurement: Measurement) -> None:
        """Books an encode that was made."""
        with self.spent.lock:
            self.spent.num_encodes += 1
        self.spent.add(
            encode=measurement.encode_seconds,
            decode=measurement.decode_seconds,
            detect=measurement.detect_seconds,
        )


@contextmanager
def open_measurer(store: Store, num_jobs: int) -> Iterator[Measurer]:
    """Starts the threads; on any error what is queued is dropped and what runs is waited for."""
    pool = ThreadPoolExecutor(num_jobs, thread_name_prefix="measure")
    measurer = Measurer(store=store, pool=pool)
    try:
        yield measurer
    finally:
        measurer.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
