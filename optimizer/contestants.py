"""Settings that are compared at any CRF, on clips that tables can tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..codecs.address import clip_name, without_password
from ..codecs.settings import Crf, EncodeSettings
from ..codecs.table import ENCODERS, Codec
from .curves.curve import RdPoint
from .errors import RequestError
from .recommendation import RegionsUsed
from .recommendation_file import read_settings, read_shots


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Settings to compare, at any CRF.

    Attributes:
        name: Unique, as it stands in tables.
        used: How regions are found, where the settings have any and a recommendation says it.
    """

    name: str
    settings: EncodeSettings
    used: RegionsUsed | None = None


def contestants_of(codecs: Sequence[Codec], files: Sequence[Path]) -> tuple[Contestant, ...]:
    """Returns encoders with their defaults, then the settings of recommendation files.

    Raises:
        RecommendationError: A file is not a recommendation.
        RequestError: A codec is unknown; or the regions of a file come from a user's own, which
            fits one clip only, or it has a CRF for each shot of one clip.
    """
    check_codecs(codecs)
    defaults = [
        Contestant(
            name=codec,
            settings=EncodeSettings(
                codec=codec,
                preset=ENCODERS[codec].default_preset,
                rate_control=Crf(value=ENCODERS[codec].search_crf[0]),
            ),
        )
        for codec in dict.fromkeys(codecs)
    ]
    given = []
    for file in files:
        settings, used = read_settings(file)
        if used is not None and used.file is not None:
            raise RequestError(
                f"settings must be for any clip, {file} goes by the regions of {used.file}; leave "
                f"it out"
            )
        if read_shots(file) is not None:
            raise RequestError(
                f"settings must be for any clip, {file} has a CRF for each shot of its own; leave "
                f"it out, or tune without per_shot"
            )
        # ratesight tune names its folder after clip and codec, and its files all alike.
        name = file.parent.name if file.name == "recommendation.json" else file.stem
        given.append(Contestant(name=name or file.stem, settings=settings, used=used))
    return (*defaults, *given)


def check_codecs(codecs: Iterable[str]) -> None:
    """Refuses what is no encoder.

    Raises:
        RequestError: One is none.
    """
    for codec in codecs:
        if codec not in ENCODERS:
            raise RequestError(f"codecs must be among {', '.join(ENCODERS)}, got {codec!r}")


def check_names(contestants: Iterable[Contestant]) -> None:
    """Refuses contestants that tables could not tell apart.

    Raises:
        RequestError: Two have one name.
    """
    names = [one.name for one in contestants]
    if len(set(names)) < len(names):
        raise RequestError(
            f"encoders and settings must have different names, got {', '.join(names)}; settings "
            f"have that of their file, or of its folder if it is recommendation.json: rename one"
        )


def check_clips(clips: Sequence[Path]) -> None:
    """Refuses clips that tables could not tell apart.

    Raises:
        RequestError: There is none, or two have one name.
    """
    if not clips:
        raise RequestError("there must be a clip, got none")
    by_name: dict[str, Path] = {}
    for clip in clips:
        if clip_name(clip) in by_name:
            raise RequestError(
                f"clips must differ in their names without folder and suffix, "
                f"{by_name[clip_name(clip)]} and {clip} do not; rename one, or make a link to it"
            )
        by_name[clip_name(clip)] = clip


def same_frames_notes(contents: Iterable[tuple[str, str]]) -> list[str]:
    """Returns which clips are copies of others, and so count more than once.

    Args:
        contents: Name of each clip, and the SHA-256 of its decoded frames.
    """
    first: dict[str, str] = {}
    notes = []
    for name, content in contents:
        if content in first:
            notes.append(
                f"{name} has the frames of {first[content]}: they count twice in medians and "
                f"intervals; leave one out"
            )
        first.setdefault(content, name)
    return notes


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveMeasured:
    """One contestant's curve on one clip is known; points from the lowest CRF to the highest.

    Attributes:
        intervals: 95 % bootstrap interval of the quality of each point; None of too few frames.
    """

    clip: str
    contestant: str
    points: tuple[RdPoint, ...]
    intervals: tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSkipped:
    """A clip of which there are no curves, and why."""

    clip: str
    reason: str

    @classmethod
    def of(cls, clip: Path, error: Exception) -> ClipSkipped:
        """Returns the clip that an error is about."""
        return cls(clip=clip_name(clip), reason=without_password(str(error)))
