"""A recommendation as a file, and what is read back from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..codecs.errors import SettingsError
from ..codecs.settings import Bitrate, Crf, EncodeSettings, Qp, RateControl, sorted_options
from ..codecs.shots import ShotCrf
from ..codecs.table import ENCODERS
from .errors import RecommendationError
from .recommendation import Recommendation, RegionsUsed
from .reports.output import write_whole


def write_json(recommendation: Recommendation, path: Path) -> None:
    """Writes a recommendation, whole or not at all.

    Raises:
        OutputError: The folder cannot be written.
    """
    write_whole(json.dumps(recommendation.to_json(), indent=2) + "\n", path)


def read_recommendation(path: Path) -> Recommendation:
    """Returns the recommendation for one clip that a file holds.

    Raises:
        RecommendationError: The file is missing, or not a recommendation for one clip.
    """
    with _errors(path):
        return recommendation_from_json(json.loads(path.read_bytes()))


def recommendation_from_json(data: object) -> Recommendation:
    """Returns the recommendation for one clip of its JSON.

    Raises:
        ValueError: It is of several clips, of another version, or none.
    """
    try:
        return _adapter().validate_python(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ValueError(f"not of one clip and this version, {fault['msg']}: {where}") from error


@cache
def _adapter() -> TypeAdapter[Recommendation]:
    return TypeAdapter(Recommendation)


def read_settings(path: Path) -> tuple[EncodeSettings, RegionsUsed | None]:
    """Returns the settings of a recommendation file, and where their regions come from.

    Raises:
        RecommendationError: The file is missing or not a recommendation.
    """
    with _errors(path):
        data: Any = json.loads(path.read_bytes())
        settings = settings_from_json(data["settings"])
        if settings.regions is None:
            return settings, None
        if not data.get("regions"):
            raise ValueError("options with roi=1 need an entry regions, which says where they are")
        return settings, RegionsUsed(**data["regions"])


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turns what goes wrong in reading a recommendation into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise RecommendationError(
            f"recommendation must be a readable file, {path}: {error.strerror}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, SettingsError):
            raise
        raise RecommendationError(
            f"recommendation must be a recommendation.json of 'ratesight tune', {path} is not: "
            f"{type(error).__name__} {error}"
        ) from error


def read_shots(path: Path) -> tuple[ShotCrf, ...] | None:
    """Returns the CRF of each shot of a recommendation file; None where it has one for all.

    Raises:
        RecommendationError: As of ``read_settings``.
    """
    with _errors(path):
        shots = json.loads(path.read_bytes()).get("shots")
        return None if shots is None else tuple(_shot_from_json(shot) for shot in shots)


def _shot_from_json(data: dict[str, Any]) -> ShotCrf:
    return ShotCrf(
        start_frame=int(data["start_frame"]),
        num_frames=int(data["num_frames"]),
        crf=float(data["crf"]),
    )


def read_content_sha256(path: Path) -> str | None:
    """Returns of which frames a recommendation file is; None where it does not say.

    Raises:
        RecommendationError: As of ``read_settings``.
    """
    with _errors(path):
        told = json.loads(path.read_bytes()).get("provenance", {})
        found = told.get("clip_content_sha256")
        return None if found is None else str(found)


def settings_from_json(data: dict[str, Any]) -> EncodeSettings:
    """Returns settings from their JSON.

    Raises:
        KeyError, TypeError, ValueError: It is not the JSON of settings.
        SettingsError: A value is out of range.
    """
    if data["codec"] not in ENCODERS:
        raise ValueError(f"unknown codec {data['codec']!r}")
    unknown = set(data) - {field.name for field in fields(EncodeSettings)}
    if unknown:
        raise ValueError(f"settings have no {', '.join(sorted(unknown))}")
    return EncodeSettings(
        codec=data["codec"],
        preset=data["preset"],
        rate_control=_rate_control(data["rate_control"]),
        options=sorted_options(data["options"]),
        num_threads=data["num_threads"],
        height=data.get("height"),
    )


def _rate_control(data: dict[str, Any]) -> RateControl:
    if len(data) == 1:
        match data:
            case {"crf": value}:
                return Crf(value=float(value))
            case {"qp": int(value)}:
                return Qp(value=value)
            case {"bitrate": value}:
                return Bitrate(rate_kbps=float(value))
    raise ValueError(
        f"rate_control must be one of crf, qp (a whole number) and bitrate (in kbit/s), got {data}"
    )
