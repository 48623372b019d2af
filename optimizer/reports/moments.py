"""Picks the frames that show what is lost and kept, and cuts the pictures out of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...codecs.encode import decode_bgr
from ...metrics.boxes import Detections, Floats, Picture
from ...metrics.detection_counts import SAME_OBJECT_IOU, frame_detections
from ...metrics.object_iou import ReferenceObjects
from ...metrics.objects import ObjectMachine
from ...metrics.task import HeatMapOf
from ..measuring.bench import Bench, Benches
from ..search.examination import Looked
from .close_look import CloseLook, LossMap, LossMaps, Moment, Sight, Track, Version, View

# Largest picture that is shown; of larger frames the part where something is lost, unscaled, so
# that what compression does to it can be seen.
_MAX_WIDTH, _MAX_HEIGHT = 640, 480
# Of JPEG, in percent: what it loses itself must not be seen.
_CROP_QUALITY, _FRAME_QUALITY = 90, 80

Looks = Mapping[Version, Looked]


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of a frame that is shown; all of it if it is small enough."""

    x0: int
    y0: int
    x1: int
    y1: int

    def cut(self, picture: Picture) -> Picture:
        return picture[self.y0 : self.y1, self.x0 : self.x1]


def close_look(
    looks: Looks, benches: Benches, heat_map: tuple[str, HeatMapOf] | None = None
) -> CloseLook:
    """Returns what encodes of one clip keep, frame by frame, and pictures of where they differ.

    Args:
        looks: At the encoder's defaults and, unless these are recommended, at the tuned settings
            and at the defaults at their rate.
        heat_map: A learned metric's name, and what it says of an original and a distorted picture.
    """
    judge = benches.real or benches.own
    versions: list[Version] = ["defaults"]
    if "tuned" in looks:
        versions = ["defaults at equal rate", "tuned"]
    shown = {version: looks[version] for version in versions}
    choices = _choices(shown, judge)
    pictures = _pictures(shown, judge, [at for at, _ in choices])
    moments = tuple(_moment(at, choice, shown, judge, pictures[at]) for at, choice in choices)
    rate = float(benches.own.source.frame_rate)
    own = benches.own
    return CloseLook(
        frames=own.frames,
        times_seconds=tuple(round(frame / rate, 6) for frame in own.frames),
        num_objects=tuple(len(one.objects.class_names) for one in own.references),
        tracks=tuple(
            Track(
                version=version,
                crf=one.crf,
                rate_kbps=one.encoding.rate_kbps,
                qualities=_qualities(one.own.scores.frame_weights, one.own.scores.frame_losses),
            )
            for version, one in looks.items()
        ),
        moments=moments,
        loss_maps=None
        if heat_map is None
        else _loss_maps(judge, choices[0][0], pictures[choices[0][0]], *heat_map),
    )


def sights(
    there: Detections, before: Detections, after: Detections, score: float
) -> tuple[Sight, ...]:
    """Returns the objects of a frame that are kept and lost, and detections that are made up.

    Args:
        there, before, after, score: As in ``count_detections``, of one frame.
    """
    frame = frame_detections(there, before, after, score)
    objects = [
        _sight(box, name, "kept" if found else "lost")
        for box, name, found in zip(there.boxes, there.class_names, frame.is_found, strict=True)
    ]
    claimed = zip(frame.claimed.boxes, frame.claimed.class_names, frame.is_known, strict=True)
    return (*objects, *(_sight(box, name, "made up") for box, name, known in claimed if not known))


def _sight(box: Floats, name: str, fate: str) -> Sight:
    x0, y0, x1, y1 = (round(float(side), 1) for side in box)
    return Sight(box=(x0, y0, x1, y1), class_name=name, fate=fate)  # type: ignore[arg-type]


def _sights_of(looked: Looked, judge: Bench, at: int) -> tuple[Sight, ...]:
    """Returns what became of the objects on a frame, by its place in the sample."""
    reference, machine = judge.references[at], judge.machine
    if looked.detections is not None and isinstance(machine, ObjectMachine):
        assert isinstance(reference, ReferenceObjects)
        after = looked.detections[at].at_least(machine.match_score)
        return sights(reference.objects, reference.seen, after, machine.reference_score)
    objects, losses = reference.objects, looked.judged.scores.deltas[at]
    rows = zip(objects.boxes, objects.class_names, losses, strict=True)
    return tuple(
        _sight(box, name, "lost" if loss > 1 - SAME_OBJECT_IOU else "kept")
        for box, name, loss in rows
    )


def _choices(looks: Looks, judge: Bench) -> list[tuple[int, str]]:
    """Returns places in the sample and why they are shown: what the defaults lose comes first."""
    names: dict[Version, str] = {
        "defaults": "most is lost with the defaults",
        "defaults at equal rate": "most is lost with the defaults at equal rate",
        "tuned": "most is lost with the tuned settings",
    }
    choices: dict[int, str] = {}
    for version, looked in looks.items():

        def lost(at: int, looked: Looked = looked) -> tuple[int, float]:
            fates = [one.fate for one in _sights_of(looked, judge, at)]
            return fates.count("lost"), float(looked.judged.scores.frame_losses[at])

        worst = max(range(len(judge.frames)), key=lost)
        choices[worst] = f"{choices[worst]}; {names[version]}" if worst in choices else (
            f"where {names[version]}"
        )  # fmt: skip
    there = [at for at, one in enumerate(judge.references) if one.objects.class_names]
    choices.setdefault(there[len(there) // 2], "the middle one that has an object, lost or not")
    return list(choices.items())


def _pictures(
    looks: Looks, judge: Bench, places: Sequence[int]
) -> dict[int, dict[Version, Picture]]:
    """Returns whole frames of every version, by place in the sample."""
    source = judge.source
    pictures: dict[int, dict[Version, Picture]] = {
        at: {"original": source.bgr(judge.frames[at])} for at in places
    }
    for version, looked in looks.items():
        positions = sorted((judge.positions[at], at) for at in places)
        wanted = frozenset(position for position, _ in positions)
        decoded = decode_bgr(looked.encoding, wanted, source.color_space)
        for (_, at), picture in zip(positions, decoded, strict=True):
            pictures[at][version] = picture
    return pictures


def _moment(
    at: int, choice: str, looks: Looks, judge: Bench, pictures: Mapping[Version, Picture]
) -> Moment:
    source, objects = judge.source, judge.references[at].objects
    all_sights = {version: _sights_of(looked, judge, at) for version, looked in looks.items()}
    lost = [
        one.box for found in all_sights.values() for one in found if one.fate == "lost"
    ] or objects.boxes.tolist()
    window = _window(lost, source.width, source.height)
    there = tuple(
        _sight(box, name, "kept")
        for box, name in zip(objects.boxes, objects.class_names, strict=True)
    )
    views = [_view("original", None, None, there, window, pictures["original"])]
    for version, looked in looks.items():
        scores = looked.judged.scores
        quality = _qualities(scores.frame_weights[at : at + 1], scores.frame_losses[at : at + 1])
        views.append(
            _view(version, looked, quality[0], all_sights[version], window, pictures[version])
        )
    return Moment(
        frame=judge.frames[at],
        time_seconds=float(judge.frames[at] / source.frame_rate),
        choice=choice,
        width=window.x1 - window.x0,
        height=window.y1 - window.y0,
        views=tuple(views),
    )


def _view(
    version: Version,
    looked: Looked | None,
    quality: float | None,
    found: Sequence[Sight],
    window: _Window,
    picture: Picture,
) -> View:
    return View(
        version=version,
        crf=None if looked is None else looked.crf,
        rate_kbps=None if looked is None else looked.encoding.rate_kbps,
        quality=quality,
        sights=tuple(moved for one in found if (moved := _moved(one, window)) is not None),
        jpeg_base64=_jpeg(window.cut(picture), _CROP_QUALITY),
    )


def _moved(sight: Sight, window: _Window) -> Sight | None:
    """Returns a box in pixels of the window, cut at its edges; None where it lies outside."""
    x0, y0, x1, y1 = sight.box
    x0, x1 = (min(max(x, window.x0), window.x1) - window.x0 for x in (x0, x1))
    y0, y1 = (min(max(y, window.y0), window.y1) - window.y0 for y in (y0, y1))
    if x1 <= x0 or y1 <= y0:
        return None
    return Sight(box=(x0, y0, x1, y1), class_name=sight.class_name, fate=sight.fate)


def _window(boxes: Sequence[Sequence[float]], width: int, height: int) -> _Window:
    """Returns the part of a frame about some boxes."""
    centre = np.array([width, height]) / 2
    if boxes:
        corners = np.array(boxes)
        centre = (corners[:, :2].min(axis=0) + corners[:, 2:].max(axis=0)) / 2
    shown = np.minimum([_MAX_WIDTH, _MAX_HEIGHT], [width, height])
    start = np.clip(np.round(centre - shown / 2), 0, np.array([width, height]) - shown).astype(int)
    return _Window(*start.tolist(), *(start + shown).tolist())


def _loss_maps(
    judge: Bench, at: int, pictures: Mapping[Version, Picture], metric: str, heat_map: HeatMapOf
) -> LossMaps:
    scale = min(1.0, _MAX_WIDTH / judge.source.width)
    maps = []
    for version, picture in pictures.items():
        if version == "original":
            continue
        small = picture
        if scale < 1:
            small = np.asarray(
                cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
                np.uint8,
            )
        losses = heat_map(pictures["original"], picture)
        maps.append(
            LossMap(
                version=version,
                losses=tuple(tuple(round(float(one), 4) for one in row) for row in losses),
                jpeg_base64=_jpeg(small, _FRAME_QUALITY),
            )
        )
    return LossMaps(
        metric=metric,
        frame=judge.frames[at],
        time_seconds=float(judge.frames[at] / judge.source.frame_rate),
        maps=tuple(maps),
    )


def _qualities(weights: Floats, losses: Floats) -> tuple[float | None, ...]:
    return tuple(
        float(1 - loss / weight) if weight > 0 else None
        for weight, loss in zip(weights, losses, strict=True)
    )


def _jpeg(picture: Picture, quality: int) -> str:
    """Returns a picture as JPEG with full chroma, in base64."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture), options)
    return base64.b64encode(data.tobytes()).decode()
