"""What is recommended is as fast as was asked for, as the verification's own encodes say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.measuring.bench import Measurement
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.search.candidate import Candidate
from ratesight.optimizer.search.speed import too_slow
from ratesight.optimizer.search.verification import (
    Role,
    Verification,
    Verified,
    contender_of,
    judge,
)

MakeMeasurement = Callable[..., Measurement]

SETTINGS = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=30))


def asked(min_fps: float | None) -> TuneRequest:
    return TuneRequest(clip=Path("clip.mp4"), aim=TargetQuality(quality=0.9), min_fps=min_fps)


def verified(role: Role, measurement: MakeMeasurement, rate: float, fps: float) -> Verified:
    """A candidate that needs that share of the anchor's rate, encoded at a speed."""
    candidate = Candidate(settings=SETTINGS)
    for rung in range(7):
        found = measurement(400 * rate * 0.75**rung, [0.01 * 1.9**rung] * 20)
        candidate.measurements[20.0 + 3 * rung] = dataclasses.replace(
            found, encode_seconds=found.num_frames / fps
        )
    nobody = Candidate(settings=SETTINGS)
    return Verified(
        role=role, crf=29.0, expected=candidate.curve, ladder=candidate, real=nobody, second=nobody
    )


def judged(
    measurement: MakeMeasurement, min_fps: float | None, *others: Verified
) -> tuple[Verification, list[Verified]]:
    """The defaults at 100 frames a second; a fifth of the rate saved at 40, and the others."""
    request = asked(min_fps)
    anchor = verified("anchor", measurement, 1.0, 100)
    candidates = [verified("options", measurement, 0.8, 40), *others]
    contenders = [
        contender_of(request, request.aim, anchor, one, candidates, block_frames=2)
        for one in candidates
    ]
    return judge(request, request.aim, anchor, candidates, contenders), candidates


@pytest.mark.parametrize("min_fps", [None, 39.0])
def test_a_winner_that_is_fast_enough_stays(
    measurement: MakeMeasurement, min_fps: float | None
) -> None:
    found, candidates = judged(measurement, min_fps)

    assert found.winner is candidates[0]
    assert not found.notes


def test_the_defaults_are_kept_where_the_winner_is_too_slow(measurement: MakeMeasurement) -> None:
    kept, _ = judged(measurement, 50.0)

    assert kept.winner is kept.anchor
    assert kept.change.percent == 0
    assert len(kept.contenders) == 1
    assert kept.notes == [
        f"The best candidate saves ({kept.contenders[0].change.percent:+.1f} %), but encoded 40.0 "
        f"frames a second when it was verified, against min_fps 50.",
        "Nothing was better than the encoder's defaults: keep them.",
    ]


def test_what_is_too_slow_gives_way_to_what_also_saves(measurement: MakeMeasurement) -> None:
    found, candidates = judged(measurement, 50.0, verified("regions", measurement, 0.9, 60))

    assert found.winner is candidates[1]
    assert found.change.percent == pytest.approx(-10, abs=0.5)
    [note] = found.notes
    assert note.startswith("The best candidate saves (-20.0 %), but encoded 40.0 frames a second")


def test_regions_that_are_too_slow_give_way_to_options(measurement: MakeMeasurement) -> None:
    found, candidates = judged(measurement, 35.0, verified("regions", measurement, 0.7, 30))

    assert found.winner is candidates[0]
    [note] = found.notes
    assert note.startswith("The best candidate with regions saves (-30.0 %), but encoded 30.0 ")


def test_on_several_clips_the_slowest_one_counts(measurement: MakeMeasurement) -> None:
    on_clips = [verified("options", measurement, 0.8, fps) for fps in (90, 40)]

    assert too_slow(asked(40.0), "It saves on the median clip", on_clips) is None
    assert too_slow(asked(50.0), "It saves on the median clip", on_clips) == (
        "It saves on the median clip, but encoded 40.0 frames a second when it was "
        "verified, against min_fps 50."
    )
