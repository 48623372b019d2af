"""Draws what regions of interest do: original, defaults and regions at equal rate, and the QP map.

``python -m benchmarks.region_picture --data ../shared/data --clip highway_cam_240p.avi --codec
x264`` takes the settings from ``results/regions.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ratesight.codecs.encode import Encoding, decode_bgr, encode
from ratesight.codecs.region import weight_map
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import Source, load_source
from ratesight.codecs.table import ENCODERS
from ratesight.metrics.boxes import Detections
from ratesight.metrics.detector import UltralyticsDetector, load_detector
from ratesight.metrics.object_iou import object_ious
from ratesight.optimizer.measuring.bench import Thresholds
from ratesight.optimizer.measuring.measure import open_measurer
from ratesight.optimizer.measuring.regions import shape_regions
from ratesight.optimizer.measuring.set_up import find_regions
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.recommendation_file import settings_from_json
from ratesight.optimizer.reports.close_figures import show_picture
from ratesight.optimizer.reports.moments import sights
from ratesight.optimizer.search.examination import encode_near

from .regions import CLIPS, RESULTS
from .tuning import FRAME_RATES

PICTURE = RESULTS.with_name("regions.png")
_THRESHOLDS = Thresholds()


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and weights/")
    parser.add_argument("--clip", choices=CLIPS, required=True)
    parser.add_argument("--codec", choices=ENCODERS, required=True)
    arguments = parser.parse_args()
    runs = json.loads(RESULTS.read_text())["runs"]
    (run,) = (
        one for one in runs if (one["clip"], one["codec"]) == (arguments.clip, arguments.codec)
    )
    (contender,) = (one for one in run["contenders"] if one["role"] == "regions")
    settings = settings_from_json(contender["settings"])
    detector = load_detector(str(arguments.data / "weights" / "yolov8n.pt"))
    path = arguments.data / "clips" / arguments.clip
    frame_rate = FRAME_RATES.get(arguments.clip)
    with load_source(path, max_seconds=CLIPS[arguments.clip], frame_rate=frame_rate) as source:
        _draw(source, settings, detector)


def _draw(source: Source, settings: EncodeSettings, detector: UltralyticsDetector) -> None:
    coding = settings.regions
    assert coding is not None
    block = ENCODERS[settings.codec].roi_block
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder) / "s.sqlite") as store,
        open_measurer(store, 1) as measurer,
    ):
        found = find_regions(source, detector, _THRESHOLDS, measurer)
    regions = shape_regions(found, coding, block)
    tuned = encode(source, settings, None, regions)
    default = _default_at(source, settings, tuned.rate_kbps)
    index = source.num_frames // 2  # the middle of the clip, not the best frame of it
    original = source.bgr(index)
    pictures = [original, *(_picture(one, source, index) for one in (default, tuned))]
    seen = detector.detect(pictures, _THRESHOLDS.match)
    objects = seen[0].at_least(_THRESHOLDS.reference)
    figure = Figure(figsize=(11, 11 * source.height / source.width + 1.2), dpi=80,
                    layout="constrained")  # fmt: skip
    axes = figure.subplots(2, 2).ravel()
    names = [
        f"original: {len(objects.class_names)} objects",
        f"{settings.codec} defaults, CRF {_crf(default)}, {default.rate_kbps:.0f} kbit/s",
        f"regions, CRF {_crf(tuned)}, {tuned.rate_kbps:.0f} kbit/s",
    ]
    for one, picture, name, there in zip(axes, pictures, names, seen, strict=False):
        _show(one, picture, name, objects, seen[0], there)
    weights = weight_map(regions.frames[index], source.width, source.height, block)
    offsets = coding.qp_offsets(weights)
    extent = (0, weights.shape[1] * block, weights.shape[0] * block, 0)
    axes[3].imshow(original[..., ::-1].mean(axis=-1), cmap="gray", alpha=0.5)
    shown = axes[3].imshow(offsets, cmap="viridis_r", extent=extent, alpha=0.6)
    axes[3].set(xlim=(0, source.width), ylim=(source.height, 0), xticks=[], yticks=[])
    axes[3].set_title("QP offset of each block", fontsize=10)
    figure.colorbar(shown, ax=axes[3], shrink=0.7)
    figure.savefig(PICTURE)


def _default_at(source: Source, settings: EncodeSettings, rate_kbps: float) -> Encoding:
    """Returns an encode with the encoder's defaults whose rate is next to a wanted one."""
    plain = EncodeSettings(
        codec=settings.codec, preset=settings.preset, rate_control=settings.rate_control
    )

    def make(crf: float) -> Encoding:
        return encode(source, plain.at(Crf(value=crf)))

    first = getattr(settings.rate_control, "value", 30.0)
    made = encode_near(make, settings.codec, first, rate_kbps)
    return min(made, key=lambda one: abs(one.rate_kbps - rate_kbps))


def _crf(encoding: Encoding) -> str:
    return f"{getattr(encoding.settings.rate_control, 'value', 0):g}"


def _picture(encoding: Encoding, source: Source, index: int) -> npt.NDArray[np.uint8]:
    (picture,) = decode_bgr(encoding, {index}, source.color_space)
    return picture


def _show(
    axes: Axes,
    picture: npt.NDArray[np.uint8],
    name: str,
    objects: Detections,
    before: Detections,
    after: Detections,
) -> None:
    """Draws a picture with what is found, lost and made up."""
    found = sights(objects, before, after, _THRESHOLDS.reference)
    show_picture(axes, picture[..., ::-1], found)
    kept = object_ious(objects, after)
    quality = float(np.average(kept, weights=objects.scores)) if len(kept) else 1.0
    fates = [one.fate for one in found]
    axes.set_title(
        f"{name}\ntask quality {quality:.3f}, {fates.count('lost')} lost, "
        f"{fates.count('made up')} made up",
        fontsize=10,
        loc="left",
    )


if __name__ == "__main__":
    main()
