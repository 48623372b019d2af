"""What is looked at, and how measurements are kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ratesight.codecs.settings import Bitrate, Crf, EncodeSettings, Qp, RateControl
from ratesight.codecs.source import Segment, Source
from ratesight.optimizer.measuring.bench import (
    Measurement,
    measurement_from_json,
    sampled_frames,
    settings_json,
    spread_segments,
)

MakeMeasurement = Callable[..., Measurement]

FRAME_RATES = [Fraction(n) for n in (10, 24, 25, 30, 50)] + [Fraction(30000, 1001)]

frame_rates = st.sampled_from(FRAME_RATES)
lengths = st.integers(1, 600)


def clip(source: Source, num_frames: int, frame_rate: Fraction = Fraction(25)) -> Source:
    return dataclasses.replace(source, num_frames=num_frames, frame_rate=frame_rate)


@given(lengths, frame_rates, st.integers(1, 8), st.floats(0.01, 4))
def test_segments_are_apart_of_one_length_and_evenly_spread(
    phone: Source, num_frames: int, frame_rate: Fraction, number: int, seconds: float
) -> None:
    source = clip(phone, num_frames, frame_rate)

    segments = spread_segments(source, number, seconds)

    length = max(1, round(seconds * frame_rate))
    if segments == source.whole:
        assert number * length >= num_frames or (number, length) == (1, num_frames)
        return
    assert [segment.num_frames for segment in segments] == [length] * number
    ends = [(one.start_frame, one.start_frame + length) for one in segments]
    gaps = [after[0] - before[1] for before, after in pairwise([(0, 0), *ends, (num_frames, 0)])]
    assert min(gaps) >= 0
    inner = gaps[1:-1]
    assert max(inner, default=0) - min(inner, default=0) <= 2
    if inner:  # half a gap before the first and after the last
        assert abs(gaps[0] - np.mean(inner) / 2) <= 1.5
        assert abs(gaps[-1] - np.mean(inner) / 2) <= 1.5


def test_segments_by_hand(phone: Source) -> None:
    assert spread_segments(clip(phone, 250), 2, 2.0) == (
        Segment(start_frame=38, num_frames=50),
        Segment(start_frame=162, num_frames=50),
    )


@pytest.mark.parametrize(("number", "seconds"), [(0, 2.0), (5, 2.0), (6, 2.0), (1, 100.0)])
def test_no_segments_or_too_many_are_the_whole(phone: Source, number: int, seconds: float) -> None:
    source = clip(phone, 250)

    assert spread_segments(source, number, seconds) == source.whole


@given(lengths, frame_rates, st.floats(0.2, 100), st.floats(0, 0.99))
@example(num_frames=179, frame_rate=Fraction(50), per_second=33.39, phase=0.875)
def test_frames_are_evenly_spread_over_the_clip(
    phone: Source, num_frames: int, frame_rate: Fraction, per_second: float, phase: float
) -> None:
    source = clip(phone, num_frames, frame_rate)
    step = max(1.0, float(frame_rate) / per_second)

    sample = sampled_frames(source, source.whole, per_second, phase=phase)

    frames = [frame for frame, _ in sample]
    assert sample == [(frame, frame) for frame in frames]
    assert frames == sorted(set(frames))
    assert 0 <= frames[0] <= step
    assert frames[-1] < num_frames
    assert len(frames) == max(1, round(num_frames / step))
    assert all(step - 1 <= after - before <= step + 1 for before, after in pairwise(frames[:-1]))
    assert num_frames - frames[-1] <= 2 * step + 1


@given(lengths, frame_rates, st.floats(0.2, 12))
@example(num_frames=7, frame_rate=Fraction(10), per_second=5.0)
def test_two_phases_share_no_frame(
    phone: Source, num_frames: int, frame_rate: Fraction, per_second: float
) -> None:
    source = clip(phone, num_frames, frame_rate)
    if frame_rate < 2 * per_second or num_frames < 2 * frame_rate / per_second:
        return  # not that many frames

    first, second = (
        sampled_frames(source, source.whole, per_second, phase=phase) for phase in (0, 0.5)
    )

    # But for the last: what would lie behind it is taken there.
    assert not set(first) & set(second) - {(num_frames - 1, num_frames - 1)}


@pytest.mark.parametrize("frame_rate", [rate for rate in FRAME_RATES if rate >= 20])
@pytest.mark.parametrize("num_frames", [20, 99, 250, 251, 600])
def test_verification_finds_as_many_frames_that_the_search_has_not_seen(
    phone: Source, frame_rate: Fraction, num_frames: int
) -> None:
    source = clip(phone, num_frames, frame_rate)

    search = sampled_frames(source, source.whole, 5.0, phase=0.25)
    verification = sampled_frames(source, source.whole, 10.0, phase=0)

    assert not set(search) & set(verification)
    assert len(verification) >= 2 * len(search) - 1


def test_each_segment_is_sampled_by_itself(phone: Source) -> None:
    segments = (Segment(start_frame=40, num_frames=25), Segment(start_frame=100, num_frames=25))

    sample = sampled_frames(clip(phone, 250), segments, 5.0, phase=0)

    assert [frame for frame, _ in sample] == [40, 45, 50, 55, 60, 100, 105, 110, 115, 120]
    assert [at for _, at in sample] == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]


def test_a_segment_too_short_for_the_rate_has_one_frame(phone: Source) -> None:
    segments = (Segment(start_frame=40, num_frames=2), Segment(start_frame=100, num_frames=2))

    sample = sampled_frames(clip(phone, 250), segments, 1.0, phase=0.5)

    assert sample == [(41, 1), (101, 3)]


def test_annotated_frames_next_to_the_wanted_ones_are_taken(phone: Source) -> None:
    source = clip(phone, 50)

    sample = sampled_frames(source, source.whole, 5.0, phase=0, annotated={1, 6, 8, 21, 22, 49})

    # Wanted: 0, 5, 10, ... 45; within four frames of each.
    assert [frame for frame, _ in sample] == [1, 6, 8, 21, 22, 49]


@given(lengths, frame_rates, st.floats(0.5, 30), st.data())
def test_only_annotated_frames_are_taken(
    phone: Source, num_frames: int, frame_rate: Fraction, per_second: float, data: st.DataObject
) -> None:
    source = clip(phone, num_frames, frame_rate)
    there = data.draw(st.sets(st.integers(0, num_frames - 1), max_size=20))

    some, every = (
        [
            frame
            for frame, _ in sampled_frames(
                source, source.whole, per_second, phase=0.25, annotated=annotated
            )
        ]
        for annotated in (there, range(num_frames))
    )

    assert set(some) <= there
    assert set(every) & there <= set(some)
    assert every == [
        frame for frame, _ in sampled_frames(source, source.whole, per_second, phase=0.25)
    ]


@pytest.mark.parametrize(
    ("rate_control", "written"),
    [
        (Crf(value=27.5), {"crf": 27.5}),
        (Qp(value=30), {"qp": 30}),
        (Bitrate(rate_kbps=500.0), {"bitrate": 500.0}),
    ],
)
def test_settings_are_kept_by_name(rate_control: RateControl, written: dict[str, float]) -> None:
    order = EncodeSettings(
        codec="svtav1",
        preset="8",
        rate_control=rate_control,
        options=(("aq-mode", 0), ("tune", 2)),
        num_threads=2,
    )

    assert settings_json(order) == {
        "codec": "svtav1",
        "preset": "8",
        "rate_control": written,
        "options": {"aq-mode": 0, "tune": 2},
        "num_threads": 2,
    }


def test_a_height_is_kept_only_where_there_is_one() -> None:
    order = EncodeSettings(codec="x264", preset="medium", rate_control=Crf(value=30))

    assert "height" not in settings_json(order)
    assert settings_json(dataclasses.replace(order, height=96))["height"] == 96


def test_a_measurement_comes_back_as_it_was(measurement: MakeMeasurement) -> None:
    before = measurement(123.456, [0.1, 0.0, 1.0], [0.9, 0.0, 1 / 3])

    after = measurement_from_json(json.loads(json.dumps(before.to_json(), allow_nan=False)))

    assert after.to_json() == before.to_json()
    assert after.rate_kbps == before.rate_kbps
    assert after.scores.quality == before.scores.quality
    np.testing.assert_array_equal(after.scores.frame_losses, before.scores.frame_losses)
