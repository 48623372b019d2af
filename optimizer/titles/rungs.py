"""The rungs of a title's ladder: chosen on its curves, verified on frames they never saw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...codecs.address import clip_name
from ...codecs.command import ffmpeg_command
from ...codecs.scaling import scaled_format
from ...codecs.source import Source
from ..curves.interval import quality_interval
from ..measuring.bench import Benches, settings_json
from ..measuring.measure import Measurer
from ..search.candidate import Candidate, measure_points
from ..search.scale import Scale, deciding_gap
from .ladder import Chosen, Rung
from .request import PerTitleRequest

# The choice is measured where it falls, and made again, so many times.
_REFINEMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTitle:
    """A title, with the benches that it is chosen on and those that verify the choice."""

    clip: Path
    source: Source
    searched: Benches
    verified: Benches
    notes: tuple[str, ...]


def make_rungs(
    request: PerTitleRequest,
    opened: OpenTitle,
    alive: Mapping[str, Candidate],
    scale: Scale | None,
    measurer: Measurer,
) -> list[Rung]:
    """Chooses each rung, measures it where it falls, and verifies what is chosen in the end."""

    def choose() -> dict[float, tuple[str, float] | None]:
        return {quality: _choose(alive, quality, scale) for quality in request.qualities}

    choices = choose()
    for _ in range(_REFINEMENTS):
        todo = {
            (choice[0], choice[1]): (alive[choice[0]], choice[1])
            for choice in choices.values()
            if choice is not None and choice[1] not in alive[choice[0]].measurements
        }
        if not todo:
            break
        measure_points(opened.searched.own, measurer, list(todo.values()))
        choices = choose()

    def rung(quality: float) -> Rung:
        choice = choices[quality]
        metric_target = None if scale is None else scale.own_quality(quality)
        if choice is None:
            most, whose = _most(alive, scale)
            return Rung(
                target_quality=quality,
                metric_target_quality=metric_target,
                chosen=None,
                reason=f"quality {quality:g} is out of reach: the most is {most:.3f}, {whose}",
                most_quality=most,
            )
        name, crf = choice
        chosen = _verify(request, opened, name, alive[name], crf, quality, scale, measurer)
        return Rung(
            target_quality=quality,
            metric_target_quality=metric_target,
            chosen=chosen,
            reason=None,
            most_quality=None,
        )

    return list(measurer.pool.map(rung, sorted(request.qualities, reverse=True)))


def _choose(
    alive: Mapping[str, Candidate], quality: float, scale: Scale | None
) -> tuple[str, float] | None:
    """Returns the contestant that reaches a quality at the lowest rate, and its CRF.

    In half steps towards the safe side; None where no curve reaches the quality.
    """
    if scale is not None:
        if quality > scale.most:
            return None
        quality = scale.own_quality(quality)
    readings = {name: one.curve.rate_at(quality) for name, one in alive.items()}
    reaching = {name: one.value for name, one in readings.items() if one.end != "high"}
    if not reaching:
        return None
    name = min(reaching, key=lambda one: reaching[one])
    candidate = alive[name]
    low, high = candidate.search_crf
    crf = math.floor(candidate.curve.crf_at(reaching[name]).value * 2) / 2
    return name, float(min(max(crf, low), high))


def _most(alive: Mapping[str, Candidate], scale: Scale | None) -> tuple[float, str]:
    """Returns the best quality that was measured, and where, in words."""
    name, best = max(
        ((name, point) for name, one in alive.items() for point in one.points),
        key=lambda pair: pair[1].quality,
    )
    if scale is not None:
        return scale.most, "as the real machine has it"
    return best.quality, f"by {name} at CRF {best.crf:g}"


def _verify(
    request: PerTitleRequest,
    opened: OpenTitle,
    name: str,
    candidate: Candidate,
    crf: float,
    target_quality: float,
    scale: Scale | None,
    measurer: Measurer,
) -> Chosen:
    settings, source = candidate.at(crf), opened.source
    looking = [opened.verified.own]
    real_bench = None if scale is None else opened.verified.real
    if real_bench is not None:
        looking.append(real_bench)
    (seen, *others), _ = measurer.measure_all(looking, settings)
    rates = {point.crf: point.rate_kbps for point in candidate.points}
    expected = candidate.curve.quality_at_crf(crf)
    real = expected_real = real_gap = None
    if scale is not None and others:
        real = others[0].scores.quality
        expected_real = scale.real_quality(expected)
        real_gap = real - expected_real
    gap = deciding_gap(seen.scores.quality - expected, real_gap)
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
        quality_interval=quality_interval(opened.verified.own, seen),
        real_quality=real,
        expected_real_quality=expected_real,
        quality_gap=gap,
        is_verified=gap >= -request.tolerance,
        ffmpeg_command=ffmpeg_command(
            settings,
            source,
            input_name=str(opened.clip),
            output_name=f"{clip_name(opened.clip)}-q{target_quality:g}.mkv",
        ),
    )
