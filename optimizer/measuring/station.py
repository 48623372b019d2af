"""The worker's end of a cluster: measures orders, and keeps what the next one needs too.

A worker has no store. It is told everything, and checks that it would store its measurements under
the very keys that the run does: another content of the clip, other weights or another build of an
encoder are an error, never a number.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import threading
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ...codecs.encode import ffmpeg_version
from ...codecs.encoder import encoder_version
from ...codecs.limits import ClipLimits
from ...codecs.settings import EncodeSettings
from ...codecs.source import Segment, Source, load_source
from ...codecs.table import ENCODERS
from ...metrics.detector import load_detector
from ...metrics.feature_file import FeatureFile, open_feature_file
from ...metrics.task import TaskMachine
from ..errors import ClusterError
from ..request import num_jobs_here
from .bench import Bench
from .machine_choice import MachineChoice
from .machine_table import object_machine
from .machines import load_machines
from .regions import RegionSource
from .set_up import Originals
from .store import Json

# A worker serves two runs in turns without decoding their clips again and again, and more while
# they leave its disk at least as much room as they take.
_FEWEST_PLACES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A clip and the machines that look at it, as a worker finds them.

    Attributes:
        clip: Path or address that the worker reads.
        num_frames, frame_rate: How much of it is looked at.
        given_frame_rate: The rate that was asked for in place of the clip's own.
    """

    clip: str
    num_frames: int
    frame_rate: Fraction
    given_frame_rate: Fraction | None
    limits: ClipLimits
    choice: MachineChoice
    second_detector: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one machine is to look at: a bench without source and machine.

    Attributes:
        references: As the machine stores them.
    """

    key: dict[str, Json]
    frames: tuple[int, ...]
    positions: tuple[int, ...]
    references: tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Everything that measurements depend on, but for the settings."""

    place: Place
    segments: tuple[Segment, ...]
    regions: RegionSource | None
    looks: tuple[Look, ...]

    def pack(self) -> bytes:
        """Returns it as bytes; what machines saw on two hours is a tenth so long."""
        return zlib.compress(pickle.dumps(self))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class _Station:
    """What a worker keeps of one place: the decoded clip, the machines, and benches by digest.

    Its scratch files are closed when the last measurement that holds on to it ends.

    Attributes:
        feature_file: What a learned metric makes of the originals of all benches.
    """

    source: Source
    feature_file: FeatureFile
    machines: Mapping[str, TaskMachine[Any]]
    benches: dict[str, list[Bench]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def num_bytes(self) -> int:
        """Scratch space that it takes."""
        return os.fstat(self.source.scratch.fileno()).st_size + self.feature_file.num_bytes


_opening = threading.Lock()
open_stations: OrderedDict[Place, _Station] = OrderedDict()  # the one used last is last


def measure_order(
    digest: str, packed: bytes, settings: EncodeSettings, keys: Sequence[Json]
) -> list[Json]:
    """Encodes once and shows the encode to each machine of an order; returns measurements.

    Args:
        digest: Of the order.
        keys: That the run stores the measurements under.

    Raises:
        EncodeError: The encode failed.
        ClusterError: The worker would measure something else.
        ClipError, WeightsError: It cannot read what it needs.
    """
    order: Order = pickle.loads(zlib.decompress(packed))
    station = _station_at(order.place)
    try:
        benches = _benches(station, digest, order)
    except ClusterError:
        # The file may be another one since it was opened.
        benches = _benches(_station_at(order.place, instead_of=station), digest, order)
    for bench, key in zip(benches, keys, strict=True):
        own = bench.measurement_key(settings)
        assert isinstance(own, dict)
        assert isinstance(key, dict)
        check_same(key, own)
    encoding = benches[0].encode(settings)
    return [bench.look(encoding).to_json() for bench in benches]


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Returns what must be the same in a whole cluster, whatever is measured."""
    from ... import __version__

    return {
        "ratesight": __version__,
        "decoder": ffmpeg_version(),
        **{f"encoder {codec}": encoder_version(codec) for codec in ENCODERS},
    }


def check_same(expected: Mapping[str, Json], own: Mapping[str, Json]) -> None:
    """Refuses to measure what the run would not.

    Raises:
        ClusterError: A value differs.
    """
    for name in {**expected, **own}:
        if expected.get(name) != own.get(name):
            raise ClusterError(
                f"{_NAMES.get(name, name)} must be the same on all machines: it is "
                f"{expected.get(name)} in the run and {own.get(name)} there; install the same "
                f"versions on both"
            )


_NAMES = {"ratesight": "the version of ratesight", "decoder": "the build of FFmpeg"}


def _benches(station: _Station, digest: str, order: Order) -> list[Bench]:
    with station.lock:
        if digest not in station.benches:
            station.benches[digest] = [_bench(station, order, look) for look in order.looks]
        return station.benches[digest]


def _station_at(place: Place, *, instead_of: _Station | None = None) -> _Station:
    """Returns the station of a place, opened if it is not, or if it is another one's successor."""
    with _opening:
        station = open_stations.get(place)
        if station is None or station is instead_of:
            open_stations.pop(place, None)
            station = open_stations[place] = _open_station(place)
        open_stations.move_to_end(place)
        while len(open_stations) > _FEWEST_PLACES and _fills_the_disk():
            open_stations.popitem(last=False)
        return station


def _fills_the_disk() -> bool:
    """Whether decoded clips and their features take more room than they leave."""
    taken = sum(one.num_bytes for one in open_stations.values())
    return taken > shutil.disk_usage(tempfile.gettempdir()).free


def _open_station(place: Place) -> _Station:
    with ExitStack() as stack:
        feature_file = stack.enter_context(open_feature_file())
        machines = load_machines(place.choice, feature_file)
        all_machines = [machines.own]
        if machines.real is not None:
            all_machines.append(machines.real)
        if place.second_detector is not None:
            detector = load_detector(place.second_detector, image_size=place.choice.image_size)
            all_machines.append(object_machine(detector, place.choice))
        source = stack.enter_context(
            load_source(
                place.clip,
                max_frames=place.num_frames,
                frame_rate=place.given_frame_rate,
                limits=place.limits,
            )
        )
        station = _Station(
            source=source,
            feature_file=feature_file,
            machines={machine.version: machine for machine in all_machines},
        )
        weakref.finalize(station, stack.pop_all().close)
        return station


def _bench(station: _Station, order: Order, look: Look) -> Bench:
    wanted, source = look.key["source"], station.source
    if wanted != source.content_sha256:
        raise ClusterError(
            f"the clip must have the same content on all machines: {order.place.clip} has "
            f"{source.num_frames} frames with hash {source.content_sha256[:12]} there, "
            f"{order.place.num_frames} with {str(wanted)[:12]} in the run; copy it again, or say "
            f"with --worker-path where it is"
        )
    machine = station.machines.get(str(look.key["machine"]))
    if machine is None:
        raise ClusterError(
            f"the machine must be the same everywhere: it is {look.key['machine']} in the run and "
            f"{' or '.join(station.machines)} there; give the workers the same weights, libraries "
            f"and kind of device"
        )
    references = [machine.from_json(one) for one in look.references]
    size = machine.batch_size

    def prepare(start: int) -> list[Any]:
        some = slice(start, start + size)
        return machine.prepare(references[some], Originals(source, look.frames[some]))

    with ThreadPoolExecutor(num_jobs_here(0)) as pool:
        batches = list(pool.map(prepare, range(0, len(references), size)))
    return Bench(
        source=source,
        segments=order.segments,
        frames=look.frames,
        positions=look.positions,
        machine=machine,
        references=tuple(one for batch in batches for one in batch),
        regions=order.regions,
        key=look.key,
    )
