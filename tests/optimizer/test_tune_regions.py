"""A tuning run with regions of interest and a second detector, all of it real."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from ratesight.codecs.clip import probe
from ratesight.codecs.errors import RegionError
from ratesight.codecs.region import ClipRegions, Region, read_regions, write_regions
from ratesight.metrics.errors import WeightsError
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.apply import apply_settings
from ratesight.optimizer.events import (
    PointMeasured,
    Recommended,
    RegionsSkipped,
    TrialFinished,
    TuneEvent,
    VerificationStarted,
)
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.recommendation import Recommendation
from ratesight.optimizer.recommendation_file import read_settings, settings_from_json, write_json
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.tune import tune_events

NUM_TRIALS, NUM_REGION_TRIALS = 3, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("regions")


@pytest.fixture(scope="module")
def asked(clips: Path, data: Path, folder: Path) -> TuneRequest:
    return TuneRequest(
        clip=clips / "highway_cam_240p.avi",
        codec="x264",
        preset="veryfast",
        aim=TargetQuality(quality=0.9),
        machine=MachineChoice(
            detector=str(data / "weights" / "yolov8n.pt"),
            image_size=256,
        ),
        second_detector=str(data / "weights" / "yolov5n.torchscript"),
        num_trials=NUM_TRIALS,
        regions="detector",
        num_region_trials=NUM_REGION_TRIALS,
        max_seconds=1,
        store=folder / "store.sqlite",
    )


@pytest.fixture(scope="module")
def events(asked: TuneRequest) -> list[TuneEvent]:
    return list(tune_events(asked))


@pytest.fixture(scope="module")
def recommended(events: list[TuneEvent]) -> Recommended:
    assert isinstance(events[-1], Recommended)
    return events[-1]


def test_regions_are_tried_on_top_of_the_best_options(events: list[TuneEvent]) -> None:
    trials = [event for event in events if isinstance(event, TrialFinished)]

    assert [one.trial for one in trials] == list(range(NUM_TRIALS + NUM_REGION_TRIALS))
    assert {one.num_trials for one in trials} == {NUM_TRIALS + NUM_REGION_TRIALS}
    assert all(one.failure is None for one in trials)
    plain, regional = trials[:NUM_TRIALS], trials[NUM_TRIALS:]
    assert not any("roi" in one.options for one in plain)
    assert all(one.options["roi"] == 1 for one in regional)
    offsets = {one.options.get("roi-background-qp") for one in regional}
    assert len(offsets) > 1
    own = [
        {name: value for name, value in one.options.items() if not name.startswith("roi")}
        for one in regional
    ]
    assert all(options == own[0] for options in own)
    assert own[0] in [dict(one.options) for one in plain]


def test_every_contender_is_judged_by_both_detectors(
    events: list[TuneEvent], recommended: Recommended
) -> None:
    found = recommended.recommendation
    (verification,) = (event for event in events if isinstance(event, VerificationStarted))
    started = [one.role for one in verification.candidates]

    assert started[0] == "anchor"
    assert [one.role for one in found.contenders] == started[1:]
    measured = {event.role for event in events if isinstance(event, PointMeasured)}
    assert measured == {"search", *started}
    for one in found.contenders:
        assert [point.rate_kbps for point in one.curve] == [
            point.rate_kbps for point in one.second_curve
        ]
        qualities = [point.quality for point in one.curve]
        assert qualities != [point.quality for point in one.second_curve]
        assert one.second_change is not None
        assert settings_from_json(dict(one.settings)).regions is None or one.role == "regions"


def test_the_best_contender_that_saves_is_recommended(recommended: Recommended) -> None:
    found = recommended.recommendation
    saving = {
        one.change.bd_rate.percent: one
        for one in found.contenders
        if one.change.bd_rate is not None
        and max(one.change.bd_rate.percent, one.change.percent) < 0
    }

    if not saving:
        assert found.keeps_defaults
        return
    best = saving[min(saving)]
    assert found.settings == best.settings
    assert found.bd_rate_percent == min(saving)
    assert found.rate_change_percent == best.change.percent
    has_regions = best.role == "regions"
    assert (found.ffmpeg_command is None) == has_regions
    assert (found.regions is not None) == has_regions
    assert (recommended.regions is not None) == has_regions
    assert 0 <= found.winner.precision <= 1
    assert 0 < found.winner.recall <= 1


def test_a_second_start_measures_nothing_of_the_search_again(
    asked: TuneRequest, recommended: Recommended
) -> None:
    again = list(tune_events(asked))[-1]

    assert isinstance(again, Recommended)
    first = recommended.recommendation
    found = again.recommendation
    assert (found.settings, found.bd_rate_percent) == (first.settings, first.bd_rate_percent)
    assert found.contenders == first.contenders
    assert found.num_encodes < first.num_encodes
    assert found.num_from_store > NUM_TRIALS + NUM_REGION_TRIALS


def with_regions(found: Recommendation, folder: Path, **used: object) -> Path:
    """Writes a recommendation of regions, whatever this short run recommends."""
    settings = {
        **found.settings,
        "options": {"roi": 1, "roi-background-qp": 8.0, "roi-margin": 0.2},
    }
    regions = {"file": None, "detector": "", "image_size": 320, "match_score": 0.25, **used}
    path = folder / "recommendation.json"
    path.write_text(json.dumps({**found.to_json(), "settings": settings, "regions": regions}))
    return path


def test_encode_finds_the_regions_of_the_clip_and_uses_them(
    recommended: Recommended, asked: TuneRequest, tmp_path: Path, clips: Path
) -> None:
    path = with_regions(recommended.recommendation, tmp_path, detector=asked.machine.detector)
    settings, used = read_settings(path)
    clip, said = clips / "webcam_signer_again_480p.mkv", []

    with_them = apply_settings(
        settings, used, clip, tmp_path / "with.mp4", progress=lambda *one: said.append(one)
    )
    plain = dataclasses.replace(settings, options=())
    without = apply_settings(plain, None, clip, tmp_path / "without.mp4")

    assert with_them.num_frames == without.num_frames == probe(tmp_path / "with.mp4").num_frames
    assert with_them.size_bytes < without.size_bytes
    assert {what for what, _ in said} == {"looking", "encoding"}


def test_encode_refuses_other_weights_than_those_of_the_search(
    recommended: Recommended, asked: TuneRequest, tmp_path: Path, clips: Path
) -> None:
    found = recommended.recommendation
    assert found.regions is None or found.regions.weights_sha256 is not None
    path = with_regions(found, tmp_path, detector=asked.machine.detector, weights_sha256="0123")
    settings, used = read_settings(path)

    with pytest.raises(WeightsError, match=r"must be those of the search, 0123, .* tune with them"):
        apply_settings(settings, used, clips / "carphone_qcif.mp4", tmp_path / "no.mp4")


def test_encode_takes_regions_from_a_file(
    recommended: Recommended, tmp_path: Path, clips: Path
) -> None:
    clip = clips / "webcam_signer_again_480p.mkv"
    facts = probe(clip)
    box = Region(x0=160, y0=96, x1=480, y1=480)
    regions = ClipRegions(
        width=facts.width, height=facts.height, frames=((box,),) * facts.num_frames
    )
    write_regions(regions, tmp_path / "regions.json")
    path = with_regions(recommended.recommendation, tmp_path, file=str(tmp_path / "regions.json"))
    settings, used = read_settings(path)

    done = apply_settings(settings, used, clip, tmp_path / "out.mp4")

    assert done.num_frames == facts.num_frames
    short = dataclasses.replace(regions, frames=regions.frames[:-1])
    write_regions(short, tmp_path / "regions.json")
    with pytest.raises(RegionError, match="make them for this clip"):
        apply_settings(settings, used, clip, tmp_path / "no.mp4")
    assert not (tmp_path / "no.mp4").exists()


def test_a_user_may_bring_regions(
    asked: TuneRequest, recommended: Recommended, tmp_path: Path
) -> None:
    width, height = 320, 240
    box = Region(x0=0, y0=80, x1=320, y1=240)
    path = tmp_path / "mine.json"
    write_regions(ClipRegions(width=width, height=height, frames=((box,),) * 25), path)

    request = dataclasses.replace(asked, regions=path, num_region_trials=2, second_detector=None)
    events = list(tune_events(request))

    assert isinstance(events[-1], Recommended)
    assert read_regions(path).area_share == pytest.approx(160 / 240)
    write_json(events[-1].recommendation, tmp_path / "recommendation.json")
    _, used = read_settings(tmp_path / "recommendation.json")
    assert used is None or used.file == str(path)
    path.write_text("{}")
    with pytest.raises(RegionError, match=r"mine\.json is not"):
        list(tune_events(dataclasses.replace(asked, regions=path)))


@pytest.mark.parametrize(("weight", "is_skipped"), [(1.0, True), (0.5, False)])
def test_regions_of_nearly_all_of_the_picture_are_not_searched(
    asked: TuneRequest, tmp_path: Path, weight: float, is_skipped: bool
) -> None:
    # Grown by a tenth and aligned, 87 % of it. Of half the weight there is room on both sides.
    box = Region(x0=0, y0=0, x1=320, y1=176, weight=weight)
    path = tmp_path / "mine.json"
    write_regions(ClipRegions(width=320, height=240, frames=((box,),) * 25), path)
    request = dataclasses.replace(asked, regions=path, num_region_trials=2, second_detector=None)

    events = list(tune_events(request))

    trials = [event for event in events if isinstance(event, TrialFinished)]
    skipped = [event for event in events if isinstance(event, RegionsSkipped)]
    assert isinstance(events[-1], Recommended)
    found = events[-1].recommendation
    if not is_skipped:
        assert not skipped
        assert len(trials) == NUM_TRIALS + 2
        return
    assert [one.region_share for one in skipped] == [pytest.approx(208 / 240)]
    assert events.index(skipped[0]) == 1
    assert {one.num_trials for one in trials} == {len(trials)} == {NUM_TRIALS}
    assert all(one.role == "options" for one in found.contenders)
    assert any("% of the picture: they were not tried" in note for note in found.notes)
    assert found.provenance["num_region_trials"] == 0
