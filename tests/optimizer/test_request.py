"""What a user may ask of a search."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from ratesight.codecs.errors import SettingsError
from ratesight.codecs.settings import Crf
from ratesight.codecs.table import ENCODERS, Codec, OptionValue
from ratesight.optimizer.aim import TargetQuality, TargetRate
from ratesight.optimizer.api import aim_of
from ratesight.optimizer.errors import RequestError
from ratesight.optimizer.measuring.bench import Thresholds
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.region_metric import Finders
from ratesight.optimizer.request import TuneRequest, exact_frame_rate

CLIP = Path("clip.mp4")
DETECTOR = MachineChoice(detector="yolo11n.pt")


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("num_trials", "trials"),
        ("num_under_way", "under_way"),
        ("segment_seconds", "segment_seconds"),
        ("frames_per_second", "frames_per_second"),
        ("tolerance", "tolerance"),
        ("max_seconds", "max_seconds"),
    ],
)
def test_amounts_are_above_0_and_finite(field: str, name: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{name} must be above 0 and finite, got {value:g}"):
        TuneRequest(clip=CLIP, **{field: value})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"num_segments": -1}, "segments must not be negative, got -1"),
        ({"num_jobs": -2}, "jobs must not be negative, got -2"),
        ({"seed": -1}, "seed must be in"),
        ({"seed": 2**32}, "seed must be in"),
        ({"codec": "vp9"}, "codec must be one of x264, x265, svtav1, got 'vp9'"),
        (
            {"machine": DETECTOR, "regions": "detector", "fixed_options": {"roi": 0}},
            "roi=0 contradicts regions; leave one of them out",
        ),
        ({"per_shot": True, "fixed_options": {"stitchable": 0}}, "stitchable=0 contradicts per_sh"),
        ({"worker_paths": {"/a": "/b"}}, "worker_paths are for the workers of a scheduler"),
        ({"scheduler": ""}, "scheduler must be an address, got nothing"),
        ({"study_storage": ""}, "study_storage must be an address, got nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object], rule: str) -> None:
    with pytest.raises(RequestError, match=rule):
        TuneRequest(clip=CLIP, **fields)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"preset": "8"}, "preset must be one of placebo"),
        ({"fixed_options": {"made-up": 1}}, "no option 'made-up'"),
        ({"fixed_options": {"aq-mode": 9}}, "aq-mode must be"),
        ({"fixed_options": {"pbratio": 1.2}}, "pbratio needs mbtree=0"),
    ],
)
def test_what_no_encoder_takes_is_refused(fields: dict[str, object], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        TuneRequest(clip=CLIP, **fields)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("value", [0, 1, -0.1, math.nan])
@pytest.mark.parametrize("name", ["reference", "match"])
def test_scores_lie_between_0_and_1(name: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{name} score must be between 0 and 1, got"):
        Thresholds(**{name: value})


def test_what_is_an_object_may_match() -> None:
    with pytest.raises(RequestError, match=r"at most the reference score, 0\.1, got 0\.25"):
        Thresholds.of_objects(0.1, 0.25)
    assert Thresholds.of_objects(0.1) == Thresholds(reference=0.1, match=0.1)
    assert Thresholds.of_objects(0.4) == Thresholds()


@pytest.mark.parametrize("codec", ENCODERS)
def test_the_anchor_is_the_encoder_s_defaults_and_what_the_user_fixed(codec: Codec) -> None:
    encoder = ENCODERS[codec]

    plain = TuneRequest(clip=CLIP, codec=codec).anchor_settings
    fixed = TuneRequest(
        clip=CLIP, codec=codec, preset=encoder.presets[1], fixed_options={"keyint": 50}
    ).anchor_settings

    assert (plain.preset, plain.options, plain.num_threads) == (encoder.default_preset, (), 1)
    assert (fixed.preset, fixed.options) == (encoder.presets[1], (("keyint", 50),))
    assert isinstance(plain.rate_control, Crf)


def test_conditions_hold_where_the_preset_meets_them() -> None:
    fixed: dict[str, OptionValue] = {"psy-rdoq": 2.0}

    slow = TuneRequest(clip=CLIP, codec="x265", preset="slow", fixed_options=fixed)

    assert slow.anchor_settings.options == (("psy-rdoq", 2.0),)
    with pytest.raises(SettingsError, match="psy-rdoq needs rdoq-level=1 or 2 for x265"):
        TuneRequest(clip=CLIP, codec="x265", fixed_options=fixed)


def test_jobs_are_as_many_as_cores_where_nothing_is_said() -> None:
    assert TuneRequest(clip=CLIP).jobs >= 1
    assert TuneRequest(clip=CLIP, num_jobs=3).jobs == 3


def test_one_target_is_asked_for() -> None:
    assert aim_of(None, None) == TargetQuality(quality=0.95, or_less=True)
    assert aim_of(0.8, None) == TargetQuality(quality=0.8)
    assert aim_of(None, 300) == TargetRate(rate_kbps=300)
    with pytest.raises(RequestError, match="target_rate does not go with target_quality"):
        aim_of(0.8, 300)


def test_what_is_asked_for_names_no_password() -> None:
    request = TuneRequest(
        clip=CLIP,
        num_jobs=3,
        scheduler="tls://host:8786",
        worker_paths={"/a": "/b"},
        study_storage="postgresql://me:secret@host/studies",
    )

    assert "secret" in repr(request)
    assert request.asked == TuneRequest(clip=CLIP)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"detector": ""}, "detector must be a file, or the name of one, got nothing"),
        ({"asked_metric": "plates", "plate_detector": ""}, "plate_detector must be a file"),
        (
            {"asked_metric": "faces", "face_detector": "y", "face_embedder": Path()},
            "face_embedder must be a file",
        ),
        (
            {"asked_metric": "faces", "face_detector": "y", "face_embedder": Path("e"),
             "face_levels": "loud"},
            "face_levels must be one of .*, got 'loud'",
        ),
    ],
)  # fmt: skip
def test_machines_have_names(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(RequestError, match=rule):
        MachineChoice(**fields)


def test_a_finder_has_a_name() -> None:
    with pytest.raises(RequestError, match=r"detector must be a file, .* got nothing"):
        Finders(detector="")


@pytest.mark.parametrize("rate", [30000 / 1001, "29.97002997002997", "30000/1001"])
def test_a_rate_with_many_digits_is_the_one_that_is_meant(rate: float | str) -> None:
    assert exact_frame_rate(rate) == Fraction(30000, 1001)
