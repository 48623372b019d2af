"""Measurements and recommendations without an encode; clips and what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Source, load_source
from ratesight.metrics.object_iou import ObjectScores
from ratesight.optimizer.measuring.bench import Measurement, settings_json
from ratesight.optimizer.recommendation import (
    Examined,
    MachinesUsed,
    RdPoint,
    Recommendation,
)

MakeMeasurement = Callable[..., Measurement]
MakeRecommendation = Callable[..., Recommendation]
RunFfmpeg = Callable[..., str]


@pytest.fixture(scope="session")
def measurement() -> MakeMeasurement:
    """Makes a measurement of one object a frame."""

    def make(
        rate_kbps: float, losses: Sequence[float], weights: Sequence[float] | None = None
    ) -> Measurement:
        weights = [1.0] * len(losses) if weights is None else weights
        return Measurement(
            rate_kbps=rate_kbps,
            size_bytes=round(rate_kbps * 125),
            num_frames=len(losses),
            scores=ObjectScores(
                weights=tuple(np.array([weight]) for weight in weights),
                deltas=tuple(np.array([loss]) for loss in losses),
            ),
            encode_seconds=0.25,
            decode_seconds=0.5,
            detect_seconds=1.0,
        )

    return make


@pytest.fixture(scope="session")
def recommendation() -> MakeRecommendation:
    """Makes a recommendation; fields may be given."""

    def make(**fields: object) -> Recommendation:
        settings = EncodeSettings(
            codec="x264",
            preset="medium",
            rate_control=Crf(value=27.5),
            options=(("aq-strength", 0.8), ("mbtree", 0)),
        )
        examined = Examined(
            crf=27.5,
            rate_kbps=81.5,
            quality=0.9,
            quality_p5=0.5,
            quality_min=0.25,
            real_quality=None,
            map50_95=0.6,
            map50=0.8,
            precision=0.95,
            recall=0.9,
            psnr_db=33.0,
            ssim=0.9,
            xpsnr_db=32.0,
            encode_fps=100.0,
        )
        anchor_curve = tuple(
            RdPoint(crf=20.0 + 4 * n, rate_kbps=200 * 0.6**n, quality=0.97 - 0.04 * n**1.5)
            for n in range(4)
        )
        given: dict[str, object] = {
            "codec": "x264",
            "preset": "medium",
            "settings": settings_json(settings),
            "rate_kbps": 81.5,
            "anchor_rate_kbps": 100.0,
            "rate_change_percent": -18.5,
            "rate_change_interval_percent": (-25.25, -11.0),
            "bd_rate_percent": -17.0,
            "bd_rate_interval_percent": (-21.0, -12.5),
            "bd_rate_qualities": (0.8, 0.96),
            "search_cost_percent": -20.0,
            "target_quality": 0.9,
            "metric_target_quality": None,
            "target_rate_kbps": None,
            "quality_range": None,
            "quality": 0.905,
            "verified_quality": 0.9,
            "quality_gap": -0.005,
            "tolerance": 0.03,
            "is_verified": True,
            "machines": MachinesUsed(
                metric="detector",
                metric_sha256=None,
                regions_by="yolov8n.pt",
                regions_sha256="0123456789abcdef",
                real_machine=None,
            ),
            "real": None,
            "winner": examined,
            "anchor": examined,
            "winner_curve": tuple(
                RdPoint(crf=one.crf, rate_kbps=one.rate_kbps * 0.8, quality=one.quality)
                for one in anchor_curve
            ),
            "anchor_curve": anchor_curve,
            "contenders": (),
            "num_trials": 25,
            "num_encodes": 60,
            "num_from_store": 3,
            "seconds": {"wall": 10.0, "encode": 3.0},
            "notes": ("A note.",),
            "regions": None,
            "ffmpeg_command": "ffmpeg -i IN OUT",
            "provenance": {"clip": "clip.mp4", "verified_frames": [0, 3]},
        }
        return Recommendation(**{**given, **fields})  # type: ignore[arg-type]  # any of its fields

    return make


@pytest.fixture(scope="session")
def phone(clips: Path) -> Iterator[Source]:
    """Half a second of a man in a car, 176x144, 29.97 fps."""
    with load_source(clips / "carphone_qcif.mp4", max_seconds=0.5) as source:
        yield source


@pytest.fixture(scope="session")
def parked_car(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of a camera that pans over a parked car, from 60, 200 on, four pixels a frame."""
    folder = tmp_path_factory.mktemp("clips") / "parked_car"
    folder.mkdir()
    photo = cv2.imread(str(data / "plates" / "openalpr_eu" / "eu10.jpg"))
    assert photo is not None
    for number in range(6):
        x, y = 60 + 4 * number, 200
        cv2.imwrite(str(folder / f"{number:03d}.png"), photo[y : y + 240, x : x + 400])
    return folder


@pytest.fixture(scope="session")
def pair(
    street: Path, ffmpeg: RunFfmpeg, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Eight frames of a street with people on motorcycles, and what x264 leaves of them."""
    folder = tmp_path_factory.mktemp("pair")
    ffmpeg("-ss", 4.4, "-i", street, "-frames:v", 8, "-c:v", "ffv1", folder / "original.mkv")
    ffmpeg("-i", folder / "original.mkv", "-crf", 42, folder / "x264.mp4")
    return folder / "original.mkv", folder / "x264.mp4"


@pytest.fixture(scope="session")
def arrays(pair: tuple[Path, Path]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The same as pictures, of odd size."""
    pictures = []
    for path in pair:
        with load_source(path) as source:
            frames = [source.bgr(index) for index in range(source.num_frames)]
        pictures.append(np.stack(frames)[:, 1:, 1:])
    return pictures[0], pictures[1]
