"""Scores of two clips by the learned metrics, with the weights that ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.codecs.errors import RegionError
from ratesight.codecs.region import ClipRegions, Region
from ratesight.metrics.errors import NoObjectsError
from ratesight.optimizer.clip_score import Score
from ratesight.optimizer.reports.pictures import draw_heat_map
from ratesight.optimizer.reports.score_files import write_regions
from ratesight.optimizer.score import score
from scipy.stats import spearmanr

Array = npt.NDArray[np.uint8]
RunFfmpeg = Callable[..., str]

SIGNALS = ("psnr", "ssim", "xpsnr")


@pytest.fixture(scope="module")
def scored(pair: tuple[Path, Path], weights: Path) -> Score:
    metrics = ("psnr", "objects", "general", "ssim", "xpsnr")
    return score(*pair, metrics=metrics, detector=weights, frames_per_second=10, heat_map=True)


def test_a_clip_is_the_best_that_it_can_be(pair: tuple[Path, Path], weights: Path) -> None:
    found = score(
        pair[0], pair[0], metrics=("objects", "general", *SIGNALS), detector=weights, heat_map=True
    )
    best = {"objects": 1.0, "general": 1.0, "psnr": 100.0, "ssim": 1.0, "xpsnr": 100.0}
    assert {one.metric: one.value for one in found.metrics} == best
    assert {one.metric: one.min for one in found.metrics} == best
    assert found.heat_map is not None
    assert found.heat_map.losses.max() == 0


def test_faces_and_plates_have_finders_of_their_own(clips: Path, data: Path) -> None:
    face = clips / "face_d6_480.mp4"
    plate = np.asarray(cv2.imread(str(next((data / "plates/openalpr_eu").glob("*.jpg")))), np.uint8)
    yunet = data / "weights/face_detection_yunet.onnx"
    plates = data / "weights/plate_yolov8n.pt"
    of_face = score(face, face, metrics=["faces"], face_detector=yunet, max_seconds=0.2)["faces"]
    of_plate = score(plate, plate, metrics=["plates"], plate_detector=plates)["plates"]
    assert (of_face.value, of_plate.value) == (1.0, 1.0)
    assert {one.class_name for one in of_face.frames[0].regions} == {"face"}
    assert of_plate.num_regions


def test_real_machines_score_too(clips: Path, data: Path, pair: tuple[Path, Path]) -> None:
    weights = data / "weights"
    plate = np.asarray(cv2.imread(str(data / "plates/openalpr_eu/eu10.jpg")), np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(plate, (0, 0), 4), np.uint8)
    face = clips / "face_d6_480.mp4"

    cars = score(
        *pair,
        metrics=["detector", "objects"],
        detector=weights / "yolov8n.pt",
        frames_per_second=10,
    )
    same_face = score(
        face,
        face,
        metrics=["face-embedder"],
        face_detector=weights / "face_detection_yunet.onnx",
        face_embedder=weights / "mobilefacenet.onnx",
        max_seconds=0.2,
    )
    plates = weights / "plate_yolov8n.pt"
    read = [
        score(plate, one, metrics=["plate-reader"], plate_detector=plates)
        for one in (plate, blurred)
    ]

    assert 0.2 < cars["detector"].value < 0.9999
    assert cars["detector"].num_regions == cars["objects"].num_regions
    assert cars["detector"].value != cars["objects"].value
    assert same_face["face-embedder"].value == pytest.approx(1.0)
    assert same_face["face-embedder"].num_regions
    assert read[0]["plate-reader"].value == pytest.approx(1.0)
    assert read[1]["plate-reader"].value < 0.9


def test_compression_costs_by_every_metric(scored: Score) -> None:
    ceiling = {"psnr": 45, "xpsnr": 45}
    for one in scored.metrics:
        assert one.min <= one.p5
        assert one.min <= one.value < ceiling.get(one.metric, 0.9999)
        assert one.min == one.worst.value


def test_more_compression_is_never_better(
    street: Path, weights: Path, ffmpeg: RunFfmpeg, tmp_path: Path
) -> None:
    clip, ladder = tmp_path / "clip.mkv", range(16, 50, 3)
    ffmpeg("-ss", 4, "-i", street, "-frames:v", 25, "-c:v", "ffv1", clip)
    values = []
    for crf in ladder:
        ffmpeg("-i", clip, "-crf", crf, tmp_path / "x264.mp4")
        metrics = ("objects", "general", *SIGNALS)
        found = score(clip, tmp_path / "x264.mp4", metrics=metrics, detector=weights)
        values.append([one.value for one in found.metrics])
    for row in np.transpose(values):
        assert spearmanr(ladder, row).statistic <= -0.98


def test_one_picture_needs_no_time(arrays: tuple[Array, Array], weights: Path) -> None:
    found = score(arrays[0][2], arrays[1][2], metrics=["objects", "psnr"], detector=weights)
    assert (found.width, found.height, found.num_frames) == (638, 270, 1)
    assert found["objects"].num_frames_looked_at == 1
    assert 0 <= found["objects"].value < 1


# Training mirrored pictures left and right only; 0.06 was seen upside down.
@pytest.mark.parametrize(("axis", "most"), [(2, 0.05), (1, 0.1)])
def test_a_mirror_changes_little(axis: int, most: float, arrays: tuple[Array, Array]) -> None:
    regions = [Region(x0=100, y0=60, x1=300, y1=200)]
    both = [*regions, Region(x0=638 - 300, y0=270 - 200, x1=638 - 100, y1=270 - 60)]
    of = ClipRegions(width=638, height=270, frames=(tuple(both),) * 8)
    metrics = ("objects", "general", "ssim", "psnr")
    even = [one[:, :270, :638] for one in arrays]
    plain = score(*even, metrics=metrics, regions=of)
    mirrored = score(*(np.flip(one, axis) for one in even), metrics=metrics, regions=of)
    for one in plain.metrics:
        assert mirrored[one.metric].value == pytest.approx(one.value, rel=0.01, abs=most)


def test_given_regions_are_those_scored(pair: tuple[Path, Path], tmp_path: Path) -> None:
    frame = (
        Region(x0=0, y0=0, x1=640, y1=272, weight=0.25),
        Region(x0=600, y0=200, x1=640, y1=272),
        Region(x0=0, y0=0, x1=9, y1=9, weight=0),
    )
    regions = ClipRegions(width=640, height=272, frames=(frame, *[()] * 7))
    found = score(*pair, metrics=["general"], regions=regions, frames_per_second=25)["general"]
    (only,) = found.frames
    assert (only.frame, found.num_frames_looked_at, found.num_regions) == (0, 8, 2)
    assert [one.weight for one in only.regions] == [0.25, 1]
    assert only.regions[1].box == (600, 200, 640, 272)


def test_metrics_share_a_row_a_region(pair: tuple[Path, Path], tmp_path: Path) -> None:
    frame = (Region(x0=0, y0=0, x1=640, y1=272), Region(x0=600, y0=200, x1=640, y1=272))
    regions = ClipRegions(width=640, height=272, frames=(frame,) * 8)
    found = score(*pair, metrics=["general", "psnr", "faces"], regions=regions)
    write_regions(found, tmp_path / "regions.csv")
    head, *rows = (tmp_path / "regions.csv").read_text().splitlines()
    assert head == "frame,time_seconds,x0,y0,x1,y1,class,general,faces"
    assert len(rows) == found["general"].num_regions == 4
    for index, looked_at in enumerate(found["faces"].frames):
        for number, region in enumerate(looked_at.regions):
            general = found["general"].frames[index].regions[number].value
            box = ",".join(f"{side:.2f}" for side in region.box)
            told = f"{looked_at.frame},{looked_at.time_seconds:.6f},{box},"
            assert rows[2 * index + number] == f"{told},{general:.6f},{region.value:.6f}"
    assert found.to_json()["metrics"]["faces"]["regions"][0]["class"] is None  # type: ignore[index, call-overload]  # JSON


def test_a_detector_beside_regions_is_the_real_machine(
    pair: tuple[Path, Path], weights: Path
) -> None:
    regions = ClipRegions(width=640, height=272, frames=((Region(x0=0, y0=0, x1=99, y1=99),),) * 8)
    found = score(*pair, metrics=["detector", "objects"], detector=weights, regions=regions)
    assert found["objects"].num_regions == 2
    assert found["detector"].num_regions not in (None, 2)


def test_regions_are_cut_as_the_clip_is(pair: tuple[Path, Path]) -> None:
    regions = ClipRegions(width=640, height=272, frames=((Region(x0=0, y0=0, x1=99, y1=99),),) * 8)
    found = score(*pair, metrics=["faces"], regions=regions, max_seconds=0.12)
    assert found.num_frames == 3
    with pytest.raises(RegionError, match="regions must be for 8 frames of 640x272, got 2 of"):
        score(*pair, metrics=["faces"], regions=ClipRegions(
            width=640, height=272, frames=regions.frames[:2]
        ))  # fmt: skip


def test_no_region_is_no_score(pair: tuple[Path, Path], weights: Path) -> None:
    nothing = ClipRegions(width=640, height=272, frames=((),) * 8)
    with pytest.raises(
        NoObjectsError,
        match=r"objects must have at least one region .* none \(frames looked at: 2\).*, or give "
        r"regions of a weight above 0",
    ):
        score(*pair, metrics=["objects"], regions=nothing)
    with pytest.raises(NoObjectsError, match=r"no score; .*, lower --reference-score, or give --r"):
        score(*pair, metrics=["general"], detector=weights, reference_score=0.999)
    with pytest.raises(NoObjectsError, match=r"leave detector out, lower --reference-score$"):
        score(*pair, metrics=["detector"], detector=weights, reference_score=0.999)


@pytest.mark.parametrize("shape", [(600, 16, 3), (16, 600, 3)])
def test_a_heat_map_of_a_narrow_picture_is_drawn(shape: tuple[int, ...], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    everywhere = Region(x0=0, y0=0, x1=shape[1], y1=shape[0])
    regions = ClipRegions(width=shape[1], height=shape[0], frames=((everywhere,),))
    found = score(picture, picture // 2, metrics=["objects"], regions=regions, heat_map=True)
    assert found.heat_map is not None
    draw_heat_map(found.heat_map, tmp_path / "heat.png")
    height, width, _ = cv2.imread(str(tmp_path / "heat.png")).shape
    assert min(height, width) > 150


def test_the_heat_map_is_drawn_over_the_worst_frame(scored: Score, tmp_path: Path) -> None:
    heat_map = scored.heat_map
    assert heat_map is not None
    assert heat_map.metric == "objects"
    assert heat_map.score == scored["objects"].worst
    assert heat_map.picture.shape == (272, 640, 3)
    assert heat_map.losses.shape == (9, 20)
    assert 0 < heat_map.losses.max() <= 1
    draw_heat_map(heat_map, tmp_path / "heat.png")
    with av.open(str(tmp_path / "heat.png")) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    # Neither grey nor blue, as the rest is: the scale at least.
    assert (shown[..., 0].astype(int) - shown[..., 2] > 60).mean() > 0.005


def test_a_heat_map_of_high_losses_is_not_of_one_color(scored: Score, tmp_path: Path) -> None:
    assert scored.heat_map is not None
    losses = np.linspace(0.85, 1, 180).reshape(9, 20)  # more from the top to the bottom
    grey = np.full_like(scored.heat_map.picture, 128)
    draw_heat_map(replace(scored.heat_map, picture=grey, losses=losses), tmp_path / "heat.png")
    shown = np.asarray(cv2.imread(str(tmp_path / "heat.png")), np.uint8)
    height, width = shown.shape[:2]
    rows = shown[:, width // 4 : width // 2].mean(axis=1)
    assert np.abs(rows[height // 4] - rows[height * 3 // 4]).max() > 20
