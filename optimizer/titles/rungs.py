"""The rungs of a title's ladder: chosen on its curves, verified on frames they never saw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...codecs.command import ffmpeg_command
from ...codecs.scaling import scaled_format
from ...codecs.source import Source
from ..compare import measure_points
from ..curves.interval import quality_interval
from ..measuring.bench import Bench, Benches, settings_json
from ..measuring.measure import Measurer
from ..search.candidate import Candidate
from .ladder import Chosen, Rung
from .request import PerTitleRequest

# The choice is measured where it falls, and made again, so many times.
_REFINEMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTitle:
    """A title with what it is chosen by, and what verifies the choice."""

    clip: Path
    source: Source
    search: Bench
    benches: Benches
    notes: tuple[str, ...]


def make_rungs(
    request: PerTitleRequest,
    opened: OpenTitle,
    alive: Mapping[str, Candidate],
    measurer: Measurer,
) -> list[Rung]:
    """Chooses each rung, measures it where it falls, and verifies what is chosen in the end."""
    choices = {quality: _choose(alive, quality) for quality in request.qualities}
    for _ in range(_REFINEMENTS):
        todo = {
            (choice[0], choice[1]): (alive[choice[0]], choice[1])
            for choice in choices.values()
            if choice is not None and choice[1] not in alive[choice[0]].measurements
        }
        if not todo:
            break
        measure_points(opened.search, measurer, list(todo.values()))
        choices = {quality: _choose(alive, quality) for quality in request.qualities}

    def rung(quality: float) -> Rung:
        choice = choices[quality]
        if choice is None:
            return Rung(target_quality=quality, chosen=None, reason=_out_of_reach(alive, quality))
        name, crf = choice
        chosen = _verify(request, opened, name, alive[name], crf, quality, measurer)
        return Rung(target_quality=quality, chosen=chosen, reason=None)

    return list(measurer.pool.map(rung, sorted(request.qualities, reverse=True)))


def _choose(alive: Mapping[str, Candidate], quality: float) -> tuple[str, float] | None:
    """Returns the contestant that reaches a quality at the lowest rate, and its CRF.

    In half steps towards the safe side; None where no curve reaches the quality.
    """
    readings = {name: one.curve.rate_at(quality) for name, one in alive.items()}
    reaching = {name: one.value for name, one in readings.items() if one.end != "high"}
    if not reaching:
        return None
    name = min(reaching, key=lambda one: reaching[one])
    candidate = alive[name]
    low, high = candidate.search_crf
    crf = math.floor(candidate.curve.crf_at(reaching[name]).value * 2) / 2
    return name, float(min(max(crf, low), high))


def _out_of_reach(alive: Mapping[str, Candidate], quality: float) -> str:
    name, best = max(
        ((name, point) for name, one in alive.items() for point in one.points),
        key=lambda pair: pair[1].quality,
    )
    return (
        f"quality {quality:g} is out of reach: the most is {best.quality:.3f}, by {name} at CRF "
        f"{best.crf:g}"
    )


def _verify(
    request: PerTitleRequest,
    opened: OpenTitle,
    name: str,
    candidate: Candidate,
    crf: float,
    target_quality: float,
    measurer: Measurer,
) -> Chosen:
    settings, source = candidate.at(crf), opened.source
    seen = measurer.measure(opened.benches.own, settings)[0]
    real = None
    if opened.benches.real is not None:
        real = measurer.measure(opened.benches.real, settings)[0].scores.quality
    rates = {point.crf: point.rate_kbps for point in candidate.points}
    expected = candidate.curve.quality_at_crf(crf)
    gap = min(seen.scores.quality, seen.scores.quality if real is None else real) - expected
    form = scaled_format(source, settings.height)
    return Chosen(
        contestant=name,
        settings=settings_json(settings),
        width=form.width,
        height=form.height,
        crf=crf,
        expected_rate_kbps=rates.get(crf, candidate.curve.rate_at(expected).value),
        expected_quality=expected,
        rate_kbps=seen.rate_kbps,
        quality=seen.scores.quality,
        quality_interval=quality_interval(opened.benches.own, seen),
        real_quality=real,
        quality_gap=gap,
        is_verified=gap >= -request.tolerance,
        ffmpeg_command=ffmpeg_command(
            settings,
            source,
            input_name=str(opened.clip),
            output_name=f"{opened.clip.stem}-q{target_quality:g}.mkv",
        ),
    )
