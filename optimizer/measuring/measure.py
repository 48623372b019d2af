"""Measures settings, and nothing twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...codecs.encode import Encoding
from ...codecs.settings import EncodeSettings
from ..errors import RequestError
from ..request import TuneRequest, num_jobs_here
from .bench import Bench, Measurement, measurement_from_json
from .pool import Pool
from .store import Store, key_sha256

if TYPE_CHECKING:
    from .cluster import Cluster


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

    def book(self, measurements: Sequence[Measurement]) -> None:
        """Books one encode, and what each machine's look at it took."""
        with self.lock:
            self.num_encodes += 1
        self.add(
            encode=measurements[0].encode_seconds,
            decode=sum(one.decode_seconds for one in measurements),
            detect=sum(one.detect_seconds for one in measurements),
        )

    def book_encodes(self, encodings: Sequence[Encoding]) -> None:
        """Books encodes that nobody looked at."""
        with self.lock:
            self.num_encodes += len(encodings)
        self.add(encode=sum(one.encode_seconds for one in encodings))


@dataclass(slots=True, kw_only=True)
class Measurer:
    """Measures in threads of this process, or has the workers of a cluster do it.

    Threads are enough: encoders, decoders and networks all let go of the interpreter lock, and
    the source stays in one place.

    Attributes:
        pool: Its threads measure, or wait for a worker that does.
        num_jobs: Measurements side by side.
        local_pool: For work that is always done here: as many threads as there are cores.
        cluster: Measures what the store does not have; it touches no store itself.
    """

    store: Store
    pool: Pool
    num_jobs: int
    local_pool: Pool
    cluster: Cluster | None = None
    spent: Spent = field(default_factory=Spent)
    stop: threading.Event = field(default_factory=threading.Event)
    _under_way: dict[str, threading.Event] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def measure(self, bench: Bench, settings: EncodeSettings) -> tuple[Measurement, bool]:
        """Returns the measurement, and whether the store had it.

        Otherwise as ``measure_all``.
        """
        (measurement,), is_from_store = self.measure_all([bench], settings)
        return measurement, is_from_store

    def measure_all(
        self, benches: Sequence[Bench], settings: EncodeSettings
    ) -> tuple[list[Measurement], bool]:
        """Returns a measurement of each bench, and whether the store had them all.

        May be called in any thread. What another thread is measuring is waited for.

        Args:
            benches: Of one source, the same segments and regions.

        Raises:
            EncodeError: The encode failed.
            ClusterError: No worker can do it.
            StoppedError: The run is being given up.
        """
        if self.stop.is_set():
            raise StoppedError
        keys = [bench.measurement_key(settings) for bench in benches]
        with self._alone_at(key_sha256(keys[0])):
            stored = [self.store.get(key) for key in keys]
            missing = [one for one, value in zip(benches, stored, strict=True) if value is None]
            fresh = iter(self.measure_afresh(missing, settings) if missing else ())
        if not missing:
            with self.spent.lock:
                self.spent.num_from_store += 1
        return [
            next(fresh) if value is None else measurement_from_json(value) for value in stored
        ], not missing

    @contextmanager
    def _alone_at(self, key: str) -> Iterator[None]:
        """Lets one thread at a time measure the same."""
        own = threading.Event()
        while True:
            with self._lock:
                other = self._under_way.setdefault(key, own)
            if other is own:
                break
            other.wait()
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[key]
            own.set()

    def measure_afresh(
        self, benches: Sequence[Bench], settings: EncodeSettings
    ) -> list[Measurement]:
        """Encodes once, whatever the store holds, and shows it to the machine of each bench.

        Args:
            benches: Of one source, the same segments and regions.

        Raises:
            EncodeError: The encode failed.
            ClusterError: No worker can do it.
            StoppedError: The run is being given up.
        """
        if self.stop.is_set():
            raise StoppedError
        measured = (
            _measure_here(benches, settings)
            if self.cluster is None
            else iter(self.cluster.measure(benches, settings, self.stop))
        )
        measurements = []
        for bench, measurement in zip(benches, measured, strict=True):
            self.store.put(bench.measurement_key(settings), measurement.to_json())
            measurements.append(measurement)
        self.spent.book(measurements)
        return measurements


def _measure_here(benches: Sequence[Bench], settings: EncodeSettings) -> Iterator[Measurement]:
    encoding = benches[0].encode(settings)
    for bench in benches:
        yield bench.look(encoding)


@contextmanager
def open_measurer(
    store: Store, num_jobs: int, cluster: Cluster | None = None
) -> Iterator[Measurer]:
    """Starts the threads; on any error what is queued is dropped and what runs is waited for."""
    pool = Pool(num_jobs, thread_name_prefix="measure")
    # Threads that only wait for workers may be many more than there are cores here.
    local_pool = pool if cluster is None else Pool(num_jobs_here(0))
    measurer = Measurer(
        store=store, pool=pool, num_jobs=num_jobs, local_pool=local_pool, cluster=cluster
    )
    try:
        yield measurer
    finally:
        measurer.stop.set()
        for each in {pool, local_pool}:
            each.end()


@contextmanager
def open_measurer_of(request: TuneRequest, store: Store) -> Iterator[Measurer]:
    """Starts what a request asks for: threads that measure here, or on a cluster's workers.

    Raises:
        RequestError: Dask is not installed.
        ClusterError: There is no scheduler or no worker, or one has other versions.
    """
    if request.scheduler is None:
        with open_measurer(store, request.jobs) as measurer:
            yield measurer
        return
    try:
        from .cluster import open_cluster  # an optional dependency, and slow to import
    except ModuleNotFoundError as error:
        if error.name not in ("dask", "distributed"):
            raise
        raise RequestError(
            "scheduler needs Dask, which is not installed: pip install distributed"
        ) from error
    with (
        open_cluster(
            request.scheduler,
            request.machine,
            second_detector=request.second_detector,
            paths=request.worker_paths,
            limits=request.limits,
        ) as cluster,
        open_measurer(store, request.num_jobs or cluster.num_threads, cluster) as measurer,
    ):
        yield measurer
