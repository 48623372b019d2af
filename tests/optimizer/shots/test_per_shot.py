"""A CRF for each shot of a real clip of three scenes, of which one shows nothing.

176x144, 20 frames a scene: every encode takes some milliseconds. What is saved is chance on so few
frames; what holds on any machine is asserted.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import av
import pytest
from ratesight.codecs.settings import Crf
from ratesight.codecs.shots import ShotCrf
from ratesight.optimizer.aim import TargetQuality, TargetRate
from ratesight.optimizer.apply import apply_settings
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.commands.shots import print_shots, write_commands
from ratesight.optimizer.errors import RecommendationError, RequestError
from ratesight.optimizer.events import PointMeasured, Recommended, ShotsFound, TuneEvent
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.recommendation import PerShot, Recommendation
from ratesight.optimizer.recommendation_file import read_settings, read_shots, write_json
from ratesight.optimizer.reports.files import tune_record
from ratesight.optimizer.reports.page import tune_html
from ratesight.optimizer.reports.pictures import draw_curves
from ratesight.optimizer.reports.sentences import headline, shot_lines
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.tune import tune_events
from rich.console import Console
from typer.testing import CliRunner

RunFfmpeg = Callable[..., str]
MakeRequest = Callable[..., TuneRequest]

LENGTHS = (20, 20, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("per shot")


@pytest.fixture(scope="module")
def scenes(clips: Path, ffmpeg: RunFfmpeg, folder: Path) -> Path:
    """A man in a car, a grey wall, a woman who talks."""
    path = folder / "scenes.mkv"
    form = "scale=176:144,setsar=1,fps=25,format=yuv420p,trim=end_frame=20,setpts=PTS-STARTPTS"
    ffmpeg(
        *("-i", clips / "carphone_qcif.mp4", "-f", "lavfi", "-i", "color=gray:s=176x144:r=25"),
        *("-i", clips / "face_d6_480.mp4", "-filter_complex"),
        f"[0]{form}[a];[1]{form}[b];[2]{form}[c];[a][b][c]concat=n=3",
        *("-c:v", "ffv1", path),
    )
    return path


@pytest.fixture(scope="module")
def request_on(scenes: Path, weights: Path, folder: Path) -> MakeRequest:
    """Makes a small request on a store of that name."""

    def make(store: str, **fields: object) -> TuneRequest:
        given: dict[str, object] = {
            "clip": scenes,
            "preset": "ultrafast",
            "aim": TargetQuality(quality=0.85),
            "machine": MachineChoice(detector=str(weights), image_size=128),
            "num_trials": 1,
            "frames_per_second": 3.0,
            "num_jobs": 2,
            "per_shot": True,
            "store": folder / f"{store}.sqlite",
        }
        return TuneRequest(**{**given, **fields})  # type: ignore[arg-type]  # any of its fields

    return make


@pytest.fixture(scope="module")
def events(request_on: MakeRequest) -> list[TuneEvent]:
    return list(tune_events(request_on("first")))


@pytest.fixture(scope="module")
def recommendation(events: list[TuneEvent]) -> Recommendation:
    assert isinstance(events[-1], Recommended)
    return events[-1].recommendation


@pytest.fixture(scope="module")
def found(recommendation: Recommendation) -> PerShot:
    assert recommendation.per_shot is not None
    return recommendation.per_shot


@pytest.fixture(scope="module")
def plan(recommendation: Recommendation, found: PerShot, folder: Path) -> Path:
    """A file in which the plan is recommended, whatever it saves."""
    shots = dataclasses.replace(found, is_recommended=True).recommended
    path = folder / "recommendation.json"
    write_json(dataclasses.replace(recommendation, shots=shots), path)
    return path


class TestPlan:
    def test_covers_the_clip_with_half_crfs(self, found: PerShot) -> None:
        assert [(shot.start_frame, shot.num_frames) for shot in found.shots] == [
            (0, 20), (20, 20), (40, 20),
        ]  # fmt: skip
        assert all(shot.crf * 2 == round(shot.crf * 2) for shot in found.shots)

    def test_a_shot_without_objects_gets_the_highest_crf(
        self, events: list[TuneEvent], recommendation: Recommendation, found: PerShot
    ) -> None:
        assert [shot.num_objects > 0 for shot in found.shots] == [True, False, True]
        assert found.shots[1].crf == 51
        assert ShotsFound(num_shots=3, num_without_objects=1) in events
        assert any("No object was seen in shot 2: the highest" in n for n in recommendation.notes)

    def test_is_measured_on_all_shots_together(self, found: PerShot) -> None:
        total = sum(shot.rate_kbps * shot.num_frames for shot in found.shots)
        assert found.rate_kbps == pytest.approx(total / 60)

    def test_is_recommended_only_if_it_saves(
        self, recommendation: Recommendation, found: PerShot
    ) -> None:
        change = found.change
        saves = change.bd_rate is not None and max(change.percent, change.bd_rate.percent) < 0
        assert found.is_recommended == saves
        said = " ".join(recommendation.notes)
        if saves:
            assert recommendation.shots == tuple(
                ShotCrf(start_frame=one.start_frame, num_frames=one.num_frames, crf=one.crf)
                for one in found.shots
            )
            assert "A CRF for each shot saves on frames that it was not chosen by." in said
            assert recommendation.ffmpeg_command is None
        else:
            assert recommendation.shots is None
            assert "A CRF for each shot did not save on frames" in said

    def test_is_compared_with_the_one_crf_that_won(
        self, recommendation: Recommendation, found: PerShot
    ) -> None:
        assert found.change.anchor_rate_kbps == pytest.approx(recommendation.rate_kbps)
        assert len(found.curve) >= 4


class TestMeasurement:
    def test_chooses_on_frames_that_it_is_not_verified_by(
        self, recommendation: Recommendation, request_on: MakeRequest
    ) -> None:
        verified = set(recommendation.provenance["verified_frames"])  # type: ignore[arg-type]
        with open_store(request_on("first").store) as store:
            rows = store.connection.execute(
                "SELECT json_extract(key_json, '$.frames'), json_extract(key_json, '$.segments') "
                "FROM results WHERE json_extract(key_json, '$.kind') = 'measurement' "
                "AND json_extract(key_json, '$.settings.options.stitchable') = 1"
            ).fetchall()
        assert len({segments for _, segments in rows}) == 2
        looked_at = {int(frame) for frames, _ in rows for frame in frames[1:-1].split(",")}
        assert looked_at
        assert not looked_at & verified

    def test_looks_at_no_original_twice(self, request_on: MakeRequest) -> None:
        with open_store(request_on("first").store) as store:
            rows = store.connection.execute(
                "SELECT json_extract(key_json, '$.frames') FROM results "
                "WHERE json_extract(key_json, '$.kind') = 'reference'"
            ).fetchall()
        frames = [int(frame) for (row,) in rows for frame in row[1:-1].split(",")]
        assert len(frames) == len(set(frames))


def test_target_rate_is_kept(request_on: MakeRequest, found: PerShot) -> None:
    rate_kbps = found.rate_kbps
    events = list(tune_events(request_on("first", aim=TargetRate(rate_kbps=rate_kbps))))
    assert isinstance(events[-1], Recommended)
    other = events[-1].recommendation.per_shot
    assert other is not None
    assert other.rate_kbps <= rate_kbps
    roles = [one.role for one in events if isinstance(one, PointMeasured)]
    assert roles.index("shot") < roles.index("shots")


def test_a_rate_between_plans_is_not_exceeded(request_on: MakeRequest, found: PerShot) -> None:
    aim = TargetRate(rate_kbps=found.rate_kbps * 0.97)
    events = list(tune_events(request_on("first", aim=aim)))
    assert isinstance(events[-1], Recommended)
    other = events[-1].recommendation.per_shot
    assert other is not None
    assert other.rate_kbps <= aim.rate_kbps


def test_one_shot_needs_one_crf(request_on: MakeRequest) -> None:
    events = list(tune_events(request_on("short", max_seconds=0.8)))
    assert isinstance(events[-1], Recommended)
    recommendation = events[-1].recommendation
    assert recommendation.per_shot is None
    assert recommendation.shots is None
    assert "The clip is one shot: one CRF is all it needs." in recommendation.notes
    assert ShotsFound(num_shots=1, num_without_objects=0) in events


@pytest.mark.parametrize("fields", [{"regions": "detector"}, {"fixed_options": {"roi": 1}}])
def test_regions_are_refused(request_on: MakeRequest, fields: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="per_shot and regions of interest exclude each other"):
        request_on("never", **fields)


class TestRecommendationFile:
    def test_encodes_what_was_measured(
        self, plan: Path, scenes: Path, found: PerShot, tmp_path: Path
    ) -> None:
        settings, used = read_settings(plan)
        target = tmp_path / "out.mp4"
        done = apply_settings(settings, used, scenes, target, shots=read_shots(plan))
        # But for the headers, which the file has once.
        assert done.rate_kbps == pytest.approx(found.rate_kbps, rel=0.05)
        with av.open(str(target)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 60

    def test_without_shots_there_is_one_crf(self, plan: Path, tmp_path: Path) -> None:
        settings, _ = read_settings(plan)
        assert isinstance(settings.rate_control, Crf)
        path = tmp_path / "one.json"
        path.write_text('{"shots": null}')
        assert read_shots(path) is None

    @pytest.mark.parametrize("text", ['{"shots": [{"crf": 3}]}', '{"shots": 5}', "[]"])
    def test_malformed_shots_are_refused(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "wrong.json"
        path.write_text(text)
        with pytest.raises(RecommendationError, match=r"must be a recommendation\.json of"):
            read_shots(path)

    def test_command_is_for_this_clip_or_for_one_crf(
        self, plan: Path, scenes: Path, clips: Path, tmp_path: Path
    ) -> None:
        other = clips / "BasketballPass_416x240_50_png"  # 100 pictures
        target = tmp_path / "out.mkv"
        words = ["encode", str(plan), str(other), str(target), "--frame-rate", "25"]
        refused = CliRunner().invoke(app, words)
        assert refused.exit_code != 0
        assert "clip must have the 60 frames that its shots were found on, got more" in (
            refused.stderr
        )
        assert not target.exists()
        assert CliRunner().invoke(app, [*words, "--one-crf"]).exit_code == 0
        done = CliRunner().invoke(app, ["encode", str(plan), str(scenes), str(target)])
        assert "60 frames" in done.stdout
        assert "another clip's" not in done.stderr

    def test_a_plan_of_another_clip_as_long_is_told(
        self, plan: Path, scenes: Path, ffmpeg: RunFfmpeg, tmp_path: Path
    ) -> None:
        ffmpeg("-i", scenes, "-vf", "reverse", "-c:v", "ffv1", tmp_path / "other.mkv")
        words = ["encode", str(plan), str(tmp_path / "other.mkv"), str(tmp_path / "out.mkv")]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert "note: the CRF of each shot is another clip's" in done.stderr
        told = CliRunner().invoke(app, [*words, "--json"])
        assert "another clip's" in json.loads(told.stdout)["notes"][-1]
        one_crf = CliRunner().invoke(app, [*words, "--one-crf"])
        assert "another clip's" not in one_crf.stderr

    def test_a_row_a_shot_is_printed(self, found: PerShot, tmp_path: Path) -> None:
        console = Console(file=StringIO(), width=100)
        print_shots(found, console)
        assert isinstance(console.file, StringIO)
        rows = [line.split("│") for line in console.file.getvalue().splitlines() if "│" in line]
        assert [row[2].strip() for row in rows] == ["0", "20", "40"]
        script = write_commands(found, tmp_path)
        assert script is not None
        assert script.read_text().startswith("set -e\nffmpeg -i ")

    def test_commands_name_every_shot(self, found: PerShot) -> None:
        assert found.ffmpeg_commands is not None
        assert len(found.ffmpeg_commands) == len(LENGTHS) + 2
        for shot, command in zip(found.shots, found.ffmpeg_commands, strict=False):
            assert f"-crf {shot.crf:g}" in command
            assert "stitchable=1" in command

    def test_picture_and_lines_show_it(
        self, recommendation: Recommendation, found: PerShot, tmp_path: Path
    ) -> None:
        both = dataclasses.replace(
            recommendation, shots=(), winner_curve=recommendation.anchor_curve
        )
        assert headline(both).endswith("keep the defaults, with a CRF for each shot")
        draw_curves(recommendation, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").stat().st_size > 10_000
        assert f"{found.change.percent:+.1f} %" in shot_lines(found)[0]

    @pytest.mark.parametrize("is_recommended", [True, False])
    def test_the_page_shows_the_plan(
        self, events: list[TuneEvent], found: PerShot, is_recommended: bool
    ) -> None:
        plan = dataclasses.replace(found, is_recommended=is_recommended)
        *before, last = events
        assert isinstance(last, Recommended)
        recommendation = dataclasses.replace(
            last.recommendation, shots=plan.recommended, per_shot=plan
        )
        last = dataclasses.replace(last, recommendation=recommendation)

        page = tune_html(tune_record([*before, last], name="run", encode_command="encode"), {})

        assert ("by a CRF for each shot" in page) == is_recommended
        assert ("in the plan, which is not recommended" in page) == (not is_recommended)
        assert ("Nothing that was tried holds" in page) == (not is_recommended)
        for shot in found.shots:
            row = "".join(f"<td>{one}</td>" for one in (shot.start_frame, shot.num_frames))
            assert row in page
