"""The metrics that everybody has, of two pictures: PSNR, SSIM, MS-SSIM, VIF, GMSD and HaarPSI."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import cv2
import numpy as np
import piq
import torch

from .labelled_groups import Floats, Pictures
from .predictors import Measure, Picture, PicturePredictor
from .windowed_metrics import Luma, ms_ssim, psnr, ssim, vif

# Pictures at once, which bounds the memory.
_BATCH = 12
_WINDOWED = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim, "vif": vif}


def ordinary_predictors() -> list[PicturePredictor]:
    """Returns one predictor for each metric, all of luma."""
    libraries = f"piq {importlib.metadata.version('piq')}"
    return [
        *(
            PicturePredictor(name=name, version=f"1, cv2 {cv2.__version__}", measure=measure)
            for name, measure in ((name, _each(name, one)) for name, one in _WINDOWED.items())
        ),
        PicturePredictor(name="gmsd", version=f"1, {libraries}", measure=_gmsd),
        PicturePredictor(name="haarpsi", version=f"1, {libraries}", measure=_haarpsi),
    ]


def _each(name: str, metric: Callable[[Luma, Luma], float]) -> Measure:
    def measure(reference: Picture, distorted: Pictures) -> dict[str, Floats]:
        first = _luma(reference)
        return {name: np.array([metric(first, _luma(one)) for one in distorted])}

    return measure


def _gmsd(reference: Picture, distorted: Pictures) -> dict[str, Floats]:
    # A deviation: lower is better.
    return {"gmsd": -_batched(piq.gmsd, reference, distorted)}


def _haarpsi(reference: Picture, distorted: Pictures) -> dict[str, Floats]:
    return {"haarpsi": _batched(piq.haarpsi, reference, distorted)}


def _batched(
    metric: Callable[..., torch.Tensor], reference: Picture, distorted: Pictures
) -> Floats:
    first = torch.from_numpy(_luma(reference))[None, None]
    values = []
    with torch.inference_mode():
        for start in range(0, len(distorted), _BATCH):
            batch = np.stack([_luma(one) for one in distorted[start : start + _BATCH]])
            second = torch.from_numpy(batch)[:, None]
            values.append(
                metric(second, first.expand_as(second), data_range=255.0, reduction="none")
            )
    return torch.cat(values).numpy().astype(np.float64)


def _luma(picture: Picture) -> Luma:
    """Returns BT.601 luma up to 255 of a BGR picture."""
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2GRAY)
    return grey.astype(np.float32)
