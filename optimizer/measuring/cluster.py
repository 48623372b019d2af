"""Measures on many machines, through Dask. The only file that imports it.

joblib's Dask backend would hand results back when a batch ends; the search needs each one to
choose the next. So measurements are single tasks of Dask's own client, which knows futures.
Dask gives a task whose worker died to another; a failed encode is a result, and is not tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, get_worker
from distributed.comm.addressing import get_address_host_port

from ...codecs.address import clip_text, network_address
from ...codecs.encoder import describe
from ...codecs.errors import CodecError, EncodeError
from ...codecs.limits import ClipLimits
from ...codecs.settings import EncodeSettings
from ...metrics.errors import MetricError
from ..errors import ClusterError, OptimizerError
from .bench import Bench, Measurement, measurement_from_json
from .machine_choice import MachineChoice
from .measure import StoppedError
from .station import Look, Order, Place, check_same, measure_order, versions
from .store import Json, key_sha256

_CONNECT_SECONDS = 10
# How often a waiting thread looks whether there is still something to wait for.
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """An encode failed, as it would have here."""

    message: str
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """A worker cannot do what it was told to."""

    worker: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Worker processes behind a scheduler; may be used from several threads.

    Attributes:
        choice, second_detector: The machines that look, by what workers load them from.
        paths: From the beginnings of paths here to what they are on the workers, addresses too.
        patience_seconds: How long no worker at all is waited for.
    """

    client: Client
    choice: MachineChoice
    second_detector: str | None
    paths: Mapping[str, str]
    limits: ClipLimits
    patience_seconds: float
    num_threads: int = 0
    orders: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def measure(
        self, benches: Sequence[Bench], settings: EncodeSettings, stop: threading.Event
    ) -> list[Measurement]:
        """Encodes once, somewhere, and shows it to the machine of each bench.

        Args:
            benches: Of one source, the same segments and regions.
            stop: Set when the run is being given up.

        Raises:
            EncodeError: The encode failed.
            ClusterError: A worker does not have what it needs, or there is none any more.
            StoppedError: The run is being given up.
        """
        digest, packed = self._order(benches)
        keys = [bench.measurement_key(settings) for bench in benches]
        # Not pure: a verification measures again what was measured before.
        future = self.client.submit(_measure, digest, packed, settings, keys, pure=False)
        match self._wait_for(future, settings, stop):
            case _Failed(message=message, log=log):
                raise EncodeError(message, settings, log)
            case _Refused(worker=worker, reason=reason):
                raise ClusterError(f"worker {worker}: {reason}")
            case values:
                return [measurement_from_json(value) for value in values]

    def wait_for_workers(self) -> None:
        """Waits for the first worker, and checks that those there are will measure the same.

        Raises:
            ClusterError: There is none, or one has other versions.
        """
        deadline = time.monotonic() + self.patience_seconds
        while not (num_threads := self.client.nthreads()):
            if time.monotonic() > deadline:
                raise ClusterError(self._nobody())
            time.sleep(_POLL_SECONDS / 4)
        self.num_threads = sum(num_threads.values())
        answers = self.client.run(_check_versions, versions(), on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                raise ClusterError(
                    f"worker {worker} must have this version of ratesight: "
                    f"{type(answer).__name__} {answer}; install it there"
                )
            if answer is not None:
                raise ClusterError(f"worker {worker}: {answer}")

    def _wait_for(
        self, future: Future[Any], settings: EncodeSettings, stop: threading.Event
    ) -> list[Json] | _Failed | _Refused:
        alone_since: float | None = None
        try:
            while not stop.is_set():
                try:
                    return future.result(timeout=_POLL_SECONDS)  # type: ignore[no-any-return]
                except TimeoutError:
                    # It may have ended since, or this is an error of the worker's own.
                    error = future.exception() if future.status == "error" else None
                    if error is not None:
                        raise error from None
                alone_since = None if self._num_workers() else alone_since or time.monotonic()
                if alone_since and time.monotonic() - alone_since > self.patience_seconds:
                    raise ClusterError(self._nobody())
            raise StoppedError
        except KilledWorker as error:
            raise ClusterError(
                f"one worker after the other ended in the same measurement, settings "
                f"{describe(settings)}; give them more memory or fewer threads each (dask worker "
                f"--nthreads 1), their logs say more; what was measured is kept"
            ) from error
        except CancelledError as error:
            raise ClusterError(_LOST) from error
        finally:
            future.cancel()

    def _num_workers(self) -> int:
        try:
            return len(self.client.nthreads())
        except (OSError, RuntimeError) as error:
            raise ClusterError(_LOST) from error

    def _nobody(self) -> str:
        return (
            f"a cluster must have a worker, the scheduler has had none for "
            f"{self.patience_seconds:g} s; start one: dask worker ADDRESS (what was measured is "
            f"kept)"
        )

    def _order(self, benches: Sequence[Bench]) -> tuple[str, bytes]:
        """Returns the order that benches make, packed once, and its digest."""
        regions = benches[0].regions
        regions_key = None if regions is None else regions.key
        digest = key_sha256([*(one.key for one in benches), regions_key])
        with self.lock:
            if digest not in self.orders:
                self.orders[digest] = self._new_order(benches).pack()
            return digest, self.orders[digest]

    def _new_order(self, benches: Sequence[Bench]) -> Order:
        source = benches[0].source
        clip = self._there(clip_text(source.path))
        return Order(
            place=Place(
                clip=clip,
                num_frames=source.num_frames,
                frame_rate=source.frame_rate,
                given_frame_rate=source.given_frame_rate,
                # The user names the address, no clip does.
                limits=replace(self.limits, allow_network=network_address(Path(clip)) is not None),
                choice=self._choice_there(),
                second_detector=self._file_there(self.second_detector),
            ),
            segments=benches[0].segments,
            regions=benches[0].regions,
            looks=tuple(
                Look(
                    key=one.key,
                    frames=one.frames,
                    positions=one.positions,
                    references=tuple(one.machine.to_json(seen) for seen in one.references),
                )
                for one in benches
            ),
        )

    def _choice_there(self) -> MachineChoice:
        embedder = self._file_there(self.choice.face_embedder)
        return replace(
            self.choice,
            detector=self._file_there(self.choice.detector),
            face_detector=self._file_there(self.choice.face_detector),
            face_embedder=None if embedder is None else Path(embedder),
            plate_detector=self._file_there(self.choice.plate_detector),
        )

    def _file_there(self, file: Path | str | None) -> str | None:
        """Returns weights as workers find them; a name that is no file here stays a name."""
        if file is None or not Path(file).exists():
            return None if file is None else str(file)
        return self._there(str(file))

    def _there(self, text: str) -> str:
        """Returns a path as workers know it."""
        if network_address(Path(text)) is None:
            text = str(Path(text).absolute())
        for here, there in self.paths.items():
            beginning = str(Path(here).absolute())
            if text == beginning or text.startswith(beginning.rstrip("/") + "/"):
                return there.rstrip("/") + text[len(beginning.rstrip("/")) :]
        return text


_LOST = (
    "the scheduler must stay reachable, it is not any more; what was measured is kept, start it "
    "and the same command again"
)


@contextmanager
def open_cluster(
    address: str,
    choice: MachineChoice,
    *,
    second_detector: str | None = None,
    paths: Mapping[str, str] | None = None,
    limits: ClipLimits | None = None,
    patience_seconds: float = 60,
) -> Iterator[Cluster]:
    """Connects to a scheduler, waits for a worker, and checks versions.

    Args:
        address: Such as ``tcp://host:8786``.
        paths: From the beginnings of paths here to what they are on the workers; the same where
            None.
        patience_seconds: How long no worker at all is waited for, and at most, up to ten, no
            scheduler.

    Raises:
        ClusterError: There is no scheduler or no worker, or one has other versions.
    """
    # What matters is raised anyway; Dask would log every lost connection with a traceback.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        # Else a client would wait for a port that nobody named, and complain when it is gone.
        get_address_host_port(address)
        # Orders of long clips are megabytes, on purpose.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"}):
            patience = min(_CONNECT_SECONDS, patience_seconds)
            client = Client(address, timeout=patience, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"scheduler must be the address of a Dask scheduler that answers, such as "
            f"tcp://host:8786, got {address}: {(str(error).splitlines() or [''])[0]}"
        ) from error
    try:
        cluster = Cluster(
            client=client,
            choice=choice,
            second_detector=second_detector,
            paths=paths or {},
            limits=limits or ClipLimits(),
            patience_seconds=patience_seconds,
        )
        cluster.wait_for_workers()
        yield cluster
    finally:
        client.close(timeout=_CONNECT_SECONDS)


def _measure(
    digest: str, packed: bytes, settings: EncodeSettings, keys: Sequence[Json]
) -> list[Json] | _Failed | _Refused:
    """The task: runs in a thread of a worker."""
    try:
        return measure_order(digest, packed, settings, keys)
    except EncodeError as error:
        return _Failed(message=str(error), log=error.log)
    except (CodecError, MetricError, OptimizerError) as error:
        return _Refused(worker=get_worker().address, reason=str(error))


def _check_versions(expected: Mapping[str, Json]) -> str | None:
    try:
        check_same(expected, versions())
    except ClusterError as error:
        return str(error)
    return None
