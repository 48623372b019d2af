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
from ratesight.optimizer.search.speed import fast_enough, too_slow
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


def outcome(measurement: MakeMeasurement, role: Role = "options") -> Verification:
    """A winner at 40 frames a second that saves a fifth of the rate; the defaults run at 100."""
    request = asked(None)
    anchor = verified("anchor", measurement, 1.0, 100)
    winner = verified(role, measurement, 0.8, 40)
    contender = contender_of(request, anchor, winner, [winner], block_frames=2)
    found = judge(request, anchor, [winner], [contender])
    assert found.winner is winner
    return found


@pytest.mark.parametrize("min_fps", [None, 39.0])
def test_a_winner_that_is_fast_enough_stays(
    measurement: MakeMeasurement, min_fps: float | None
) -> None:
    found = outcome(measurement)

    assert fast_enough(asked(min_fps), found) is found


@pytest.mark.parametrize(("role", "name"), [("options", ""), ("regions", "with regions ")])
def test_the_defaults_are_kept_where_the_winner_is_too_slow(
    measurement: MakeMeasurement, role: Role, name: str
) -> None:
    found = outcome(measurement, role)

    kept = fast_enough(asked(50.0), found)

    assert kept.winner is kept.anchor is found.anchor
    assert kept.change.percent == 0
    assert kept.contenders == found.contenders
    assert kept.notes == [
        f"The best candidate {name}saves ({found.change.percent:+.1f} %), but encoded 40.0 frames "
        f"a second when it was verified, against min_fps 50.",
        "Nothing was better than the encoder's defaults: keep them.",
    ]


def test_on_several_clips_the_slowest_one_counts(measurement: MakeMeasurement) -> None:
    on_clips = [verified("options", measurement, 0.8, fps) for fps in (90, 40)]

    assert too_slow(asked(40.0), "saves on the median clip", on_clips) is None
    assert too_slow(asked(50.0), "saves on the median clip", on_clips) == (
        "The best candidate saves on the median clip, but encoded 40.0 frames a second when it was "
        "verified, against min_fps 50."
    )
