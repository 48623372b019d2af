"""What a user asks of a search."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from ..codecs.limits import ClipLimits
from ..codecs.settings import Crf, EncodeSettings, sorted_options
from ..codecs.table import ENCODERS, Codec, OptionValue
from .aim import Aim, TargetQuality
from .checks import check_above_0, check_not_negative
from .errors import RequestError
from .measuring.machine_choice import MachineChoice
from .measuring.machine_table import MACHINE_KINDS, REAL_MACHINES

# Who proposes settings: ours, then Optuna's.
Sampler = Literal["additive", "tpe", "random", "gp", "cmaes", "nsga2"]

DEFAULT_STORE = Path("ratesight.sqlite")
# A hundred seconds at ten frames a second; of more, spread over a clip, hardly any tells more.
MAX_VERIFIED_FRAMES = 1000

_SEEDS = 2**32  # what Optuna's samplers take
_FRAME_RATES = (Fraction(1, 1000), Fraction(10_000))


def exact_frame_rate(rate: Fraction | float | str | None) -> Fraction | None:
    """Returns a frame rate such as 25, 29.97 or ``30000/1001``; None where none is given.

    Raises:
        RequestError: It is none, or out of range.
    """
    if rate is None:
        return None
    try:
        # The nearest that a clip may have: 29.97002997 is 30000/1001.
        exact = Fraction(str(rate)).limit_denominator(1001)
    except (ValueError, ZeroDivisionError):
        raise RequestError(f"frame_rate must be like 25 or 30000/1001, got {rate!r}") from None
    if not _FRAME_RATES[0] <= exact <= _FRAME_RATES[1]:
        low, high = _FRAME_RATES
        raise RequestError(f"frame_rate must be between {low} and {high}, got {rate}")
    return exact


def num_jobs_here(asked: int) -> int:
    """Returns how many encodes run side by side: as many as this process has cores for 0."""
    if asked:
        return asked
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """One tuning run.

    Attributes:
        codec, preset: Encoder, and its preset; the encoder's usual one where None.
        fixed_options: Options of every encode, the anchor's too; they are not searched.
        aim: Lowest rate at a quality, or best quality at a rate.
        machine: Which machine must still see.
        annotations: COCO JSON of what is there; the detector's view of the original where None.
            For metric ``detector``, and for ``plate-reader``, whose plates may have their text.
        min_fps: Slowest encode that is recommended, in frames a second on one thread, as measured
            beside the other encodes of the run; any speed for None.
        num_trials: Settings tried, the encoder's defaults among them.
        num_warm_starts: Trials, at most, that set out from what won on other clips like this one,
            as the store remembers it.
        regions: Also tries regions of interest: around what is found on the original, or a user's
            own from a file; not at all for None.
        num_region_trials: Settings of regions tried, on top of the best of the others.
        per_shot: Also tries a CRF for each shot, with the settings that won.
        second_detector: Judges the verification too, without having steered the search.
        sampler: Who proposes settings; ``search_sampler`` where None, TPE for a Pareto front.
        max_seconds: Cuts the clip; what comes later does not exist for this run.
        num_segments, segment_seconds: The search looks at that many pieces spread evenly over the
            clip, at all of it for 0. The winner is verified on all of it in any case.
        frames_per_second: Of the frames that the detector looks at.
        max_verified_frames: Most frames that it looks at for the verification, spread over the
            clip; the whole clip is encoded in any case.
        num_jobs: Encodes side by side, each on one thread.
        num_under_way: Settings proposed before the first of them is known. The result depends on
            it, not on num_jobs, which cannot make use of more than that.
        tolerance: How far the verified quality may fall below what the search expects.
        scheduler: Address of a Dask scheduler whose workers measure, one thread each for what
            num_jobs says, all of theirs for 0; this process itself where None.
        worker_paths: From beginnings of paths here to where workers find the same files, a path or
            an address.
        study_storage: URL of a database for Optuna's studies; a journal beside the store where
            None.
        limits: What a clip may cost.
    """

    clip: Path
    codec: Codec = "x264"
    preset: str | None = None
    fixed_options: dict[str, OptionValue] = field(default_factory=dict)
    aim: Aim = field(default_factory=lambda: TargetQuality(quality=0.95, or_less=True))
    machine: MachineChoice = field(default_factory=MachineChoice)
    annotations: Path | None = None
    min_fps: float | None = None
    num_trials: int = 25
    num_warm_starts: int = 2
    regions: Path | Literal["detector"] | None = None
    num_region_trials: int = 12
    per_shot: bool = False
    second_detector: str | None = None
    sampler: Sampler | None = None
    seed: int = 0
    frame_rate: Fraction | None = None
    max_seconds: float | None = None
    num_segments: int = 0
    segment_seconds: float = 2.0
    frames_per_second: float = 5.0
    max_verified_frames: int = MAX_VERIFIED_FRAMES
    num_jobs: int = 0
    num_under_way: int = 4
    tolerance: float = 0.03
    store: Path = DEFAULT_STORE
    scheduler: str | None = None
    worker_paths: dict[str, str] = field(default_factory=dict)
    study_storage: str | None = None
    limits: ClipLimits = field(default_factory=ClipLimits)

    def __post_init__(self) -> None:
        if self.codec not in ENCODERS:
            raise RequestError(f"codec must be one of {', '.join(ENCODERS)}, got {self.codec!r}")
        check_above_0(
            trials=self.num_trials,
            region_trials=self.num_region_trials,
            under_way=self.num_under_way,
            segment_seconds=self.segment_seconds,
            frames_per_second=self.frames_per_second,
            max_verified_frames=self.max_verified_frames,
            tolerance=self.tolerance,
            max_seconds=self.max_seconds,
            min_fps=self.min_fps,
        )
        check_not_negative(
            segments=self.num_segments, jobs=self.num_jobs, warm_starts=self.num_warm_starts
        )
        if self.worker_paths and self.scheduler is None:
            raise RequestError(
                "worker_paths are for the workers of a scheduler; give scheduler, or leave them out"
            )
        for name, address in (("scheduler", self.scheduler), ("study_storage", self.study_storage)):
            if address == "":
                raise RequestError(f"{name} must be an address, got nothing; leave it out")
        if not 0 <= self.seed < _SEEDS:
            raise RequestError(f"seed must be in [0, {_SEEDS - 1}], got {self.seed}")
        _ = self.anchor_settings  # checks preset and options
        machine, kind = self.machine, self.machine.kind
        if self.annotations is not None and not (
            kind.takes_annotations and machine.metric in REAL_MACHINES
        ):
            able = [one.real for one in MACHINE_KINDS.values() if one.takes_annotations]
            raise RequestError(
                f"annotations are for metric {' or '.join(able)}, got metric {machine.metric}"
            )
        if self.regions is not None and not machine.has_real_machine:
            raise RequestError(
                f"regions need a real machine to verify them, metric {machine.metric} sees nothing "
                f"of what lies outside of them; give {' and '.join(kind.files)}"
            )
        if self.second_detector is not None and not kind.draws_boxes:
            raise RequestError(f"second_detector judges detections, got metric {machine.metric}")

        for option, what, given in (
            ("roi", "regions", self.regions is not None),
            ("stitchable", "per_shot", self.per_shot),
        ):
            if given and self.fixed_options.get(option, 1) != 1:
                raise RequestError(
                    f"{option}={self.fixed_options[option]} contradicts {what}; leave one of them "
                    f"out"
                )
        if self.per_shot and self.needs_regions:
            raise RequestError(
                "per_shot and regions of interest exclude each other; leave one of them out"
            )

    @property
    def asked(self) -> TuneRequest:
        """What was asked for, without where it runs, which may name a password."""
        return replace(self, num_jobs=0, scheduler=None, worker_paths={}, study_storage=None)

    @property
    def only_of_one_clip(self) -> list[str]:
        """Names of what was asked for that neither several clips nor a Pareto front go with."""
        given = {
            "annotations": self.annotations,
            "regions": self.regions,
            "roi": self.anchor_settings.regions,
            "second_detector": self.second_detector,
            "per_shot": self.per_shot or None,
        }
        return [name for name, value in given.items() if value is not None]

    @property
    def verified_frames_per_second(self) -> float:
        """Frames a second of the verification, which leaves out those of the search."""
        return 2 * self.frames_per_second

    @property
    def num_all_trials(self) -> int:
        """Trials without regions and with them."""
        return self.num_trials + (self.num_region_trials if self.regions is not None else 0)

    def is_fast_enough(self, encode_fps: float) -> bool:
        """Returns whether a speed in frames a second may be recommended."""
        return self.min_fps is None or encode_fps >= self.min_fps

    @property
    def num_usable_warm_starts(self) -> int:
        """Trials that may set out from other clips: the first of all is the defaults."""
        return min(self.num_warm_starts, self.num_trials - 1)

    @property
    def needs_regions(self) -> bool:
        """Some settings of this run have regions on."""
        return self.regions is not None or self.anchor_settings.regions is not None

    @property
    def study_place(self) -> str | Path:
        """Where Optuna's studies are kept: a database, or a journal beside the store."""
        return self.study_storage or self.store.with_suffix(".journal")

    @property
    def search_sampler(self) -> Sampler:
        """Who proposes options: a model of what each option does, and each two together.

        Replayed on measured grids it is within 3 % of the best after fewer encodes than Optuna's
        samplers.
        """
        return self.sampler or "additive"

    @property
    def jobs(self) -> int:
        """Encodes side by side; as many as this process has cores where num_jobs is 0."""
        return num_jobs_here(self.num_jobs)

    @property
    def anchor_settings(self) -> EncodeSettings:
        """The encoder's defaults at the preset, with the user's fixed options."""
        encoder = ENCODERS[self.codec]
        return EncodeSettings(
            codec=self.codec,
            preset=self.preset or encoder.default_preset,
            rate_control=Crf(value=encoder.search_crf[0]),
            options=sorted_options(self.fixed_options),
        )
