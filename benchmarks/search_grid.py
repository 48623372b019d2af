"""Measures a grid of settings once, so that searches can be replayed on it without an encode.

``python -m benchmarks.search_grid --data ../shared/data`` makes about 300 encodes a clip and
encoder (some minutes each on two idle cores). Every encode goes to the store, so that it goes on
where it was stopped. ``benchmarks.search_replay`` reads the JSON that it writes.

The learned metric ``objects`` steers, in the regions that YOLOv8n finds on the original: it is
quieter than the detector and costs less.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.source import load_source
from ratesight.codecs.table import ENCODERS, Codec, Encoder, OptionValue
from ratesight.codecs.whole_file import whole_file
from ratesight.metrics.feature_file import open_feature_file
from ratesight.optimizer.curves.curve import RdPoint, fit_curve
from ratesight.optimizer.measuring.bench import Bench, sampled_frames
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machines import load_machines
from ratesight.optimizer.measuring.measure import Measurer, open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.search.candidate import first_crfs

from .machine import describe_machine
from .search_table import read_table

if TYPE_CHECKING:
    from ratesight.metrics.task import TaskMachine

GRIDS = Path(__file__).parent / "results" / "search_grids"

# A road, a street and players; a fixed, a moving and a panning camera; a driver, a signer. Pictures
# have no frame rate of their own.
CLIPS: dict[str, Fraction | None] = {
    "highway_cam_240p.avi": None,
    "bikes_street_272p.mp4": None,
    "BasketballPass_416x240_50_png": Fraction(50),
    "carphone_qcif.mp4": None,
    "webcam_signer_again_480p.mkv": None,
}
# By the grids of these nothing of the search was chosen.
HELD_OUT = ("carphone_qcif.mp4", "webcam_signer_again_480p.mkv")
_SECONDS = 2.0
# As a search. Which frames are looked at moves all settings alike: of 50 frames of the road, five
# disjoint samples of 10 differ by 0.016 in quality (standard deviation), but by 0.009 in the
# difference of two settings.
_FRAMES_PER_SECOND = 5.0

# Options that winners of our tuning runs changed most often, the defaults among the values.
VALUES: dict[Codec, dict[str, tuple[OptionValue, ...]]] = {
    "x264": {
        "aq-mode": (0, 1),
        "aq-strength": (0.4, 1.0),
        "psy-rd": (0.0, 1.0),
        "mbtree": (0, 1),
        "qcomp": (0.6, 0.85),
        "bframes": (3, 8),
    },
    "x265": {
        "aq-mode": (0, 2),
        "aq-strength": (0.5, 1.0),
        "psy-rd": (0.0, 2.0),
        "rdoq-level": (0, 2),
        "sao": (0, 1),
        "qcomp": (0.6, 0.9),
    },
    "svtav1": {
        "tune": (1, 2),
        "aq-mode": (0, 2),
        "enable-variance-boost": (0, 1),
        "variance-boost-strength": (1, 2),
        "enable-tf": (0, 1),
        "qp-scale-compress-strength": (0, 2),
    },
}
# The quality of the defaults at this CRF is the target, but for clips on which it saturates there:
# where the curve is flat, noise of a hundredth is a third of the rate. Options move the CRF of a
# quality, some by ten, and a search looks rather above it than below.
_HIGHEST_TARGET = 0.95
TARGET_CRF: dict[Codec, int] = {"x264": 26, "x265": 26, "svtav1": 40}
_OFFSETS: dict[Codec, tuple[int, ...]] = {
    "x264": (-8, -4, 0, 4, 8, 14),
    "x265": (-8, -4, 0, 4, 8, 14),
    "svtav1": (-12, -6, 0, 6, 14, 22),
}
# A search reads everything off the defaults' curve, which it measures densely.
_ANCHOR_OFFSETS = (-4, -2, 2, 4, 7)

Options = dict[str, OptionValue]
# CRF, kbit/s, quality, seconds of the encode.
Row = list[float]


def main() -> None:
    """Measures what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and weights/")
    parser.add_argument("--store", type=Path, default=Path("benchmark.sqlite"))
    parser.add_argument("--clips", nargs="+", choices=list(CLIPS), default=list(CLIPS))
    parser.add_argument("--codecs", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--jobs", type=int, default=2, help="encodes side by side")
    arguments = parser.parse_args()
    choice = MachineChoice(
        asked_metric="objects", detector=str(arguments.data / "weights" / "yolov8n.pt")
    )
    with (
        open_store(arguments.store) as store,
        open_measurer(store, arguments.jobs) as measurer,
        open_feature_file() as features,
    ):
        machine = load_machines(choice, features).own
        for codec in arguments.codecs:
            for clip in arguments.clips:
                _measure_grid(arguments.data / "clips" / clip, codec, machine, measurer)


def grid_file(clip: str, codec: Codec) -> Path:
    """Returns where the grid of a clip and an encoder is kept."""
    return GRIDS / f"{Path(clip).stem}-{codec}.json"


def combinations(
    encoder: Encoder, values: Mapping[str, Sequence[OptionValue]]
) -> Iterator[Options]:
    """Yields every combination whose conditions hold, options at their default left out."""

    def complete(chosen: Options, rest: Sequence[str]) -> Iterator[Options]:
        if not rest:
            yield {
                name: value
                for name, value in chosen.items()
                if value != encoder.option(name).default
            }
            return
        name, *others = rest
        if all(one.is_met(chosen, encoder) for one in encoder.option(name).requires):
            for value in values[name]:
                yield from complete({**chosen, name: value}, others)
        else:
            yield from complete(chosen, others)

    return complete({}, [option.name for option in encoder.options if option.name in values])


def _measure_grid(path: Path, codec: Codec, machine: TaskMachine[Any], measurer: Measurer) -> None:
    """Measures a grid unless it is there; keeps it where all its settings cross the target."""
    file = grid_file(path.name, codec)
    if file.exists():
        return
    wanted = list(combinations(ENCODERS[codec], VALUES[codec]))
    with load_source(path, max_seconds=_SECONDS, frame_rate=CLIPS[path.name]) as source:
        sample = sampled_frames(source, source.whole, _FRAMES_PER_SECOND, phase=0.25)
        bench = set_up_bench(
            source,
            machine,
            segments=source.whole,
            sample=sample,
            annotations=None,
            regions=None,
            measurer=measurer,
        )
        measured = []
        for options in wanted:
            rows = _rows(bench, _settings(codec, options), measurer)
            measured.append({"options": options, "points": rows})
            print(f"{file.stem}: {len(measured)} of {len(wanted)}", flush=True)
        _write(file, path.name, codec, measured, bench)
    try:
        read_table(file, VALUES[codec])
    except ValueError as error:
        file.unlink()
        print(f"{file.stem}: no grid, {error}", flush=True)


def _settings(codec: Codec, options: Options) -> EncodeSettings:
    return EncodeSettings(
        codec=codec,
        preset=ENCODERS[codec].default_preset,
        rate_control=Crf(value=TARGET_CRF[codec]),
        options=sorted_options(options),
    )


def _rows(bench: Bench, settings: EncodeSettings, measurer: Measurer) -> list[Row]:
    """Measures one combination at its CRFs.

    Raises:
        EncodeError: The encoder refuses it, which is a fault of the grid.
    """
    target = TARGET_CRF[settings.codec]
    crfs = {float(target + offset) for offset in _OFFSETS[settings.codec]}
    if not settings.options:
        crfs |= {*first_crfs(settings), *(float(target + near) for near in _ANCHOR_OFFSETS)}

    def measure(crf: float) -> Row:
        found, _ = measurer.measure(bench, settings.at(Crf(value=crf)))
        return [
            crf,
            round(found.rate_kbps, 2),
            round(found.scores.quality, 5),
            round(found.encode_seconds, 2),
        ]

    return list(measurer.pool.map(measure, sorted(crfs)))


def _write(
    file: Path, clip: str, codec: Codec, measured: Sequence[Mapping[str, Any]], bench: Bench
) -> None:
    """Writes a grid, a line a combination."""
    defaults = next(one["points"] for one in measured if not one["options"])
    points = [RdPoint(crf=crf, rate_kbps=rate, quality=kept) for crf, rate, kept, _ in defaults]
    head = {
        "clip": clip,
        "codec": codec,
        "seconds": _SECONDS,
        "frames_looked_at": len(bench.frames),
        "objects": bench.num_objects,
        "metric": bench.machine.version,
        "target_quality": min(
            round(fit_curve(points).quality_at_crf(TARGET_CRF[codec]), 4), _HIGHEST_TARGET
        ),
        "columns": ["crf", "rate_kbps", "quality", "encode_seconds"],
        "machine": describe_machine(),
    }
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in measured)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f'{json.dumps(head, indent=1)[:-2]},\n "combinations": [\n{lines}\n]}}\n'
    with whole_file(file) as part:
        part.write_text(text)


if __name__ == "__main__":
    main()
