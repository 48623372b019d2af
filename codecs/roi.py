"""Options of regions of interest: ours, the same for every encoder, searched like its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .option import Choice, Floats, Ints, Option, OptionValue, Requires
from .region import Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCoding:
    """How regions are made from boxes, and what they and the background get.

    Attributes:
        object_qp, background_qp: QP offsets, on the encoder's own CRF scale; negative is better.
        margin: Share of a box's size by which it grows on each side.
        hold_seconds: How long a region stays before its object is first and after it is last seen.
        ring_pixels: Width of a ring around it that gets half of each offset.
        blur_sigma: Gaussian low-pass of the background, in pixels; 0 is off.
        freeze_threshold: Largest mean difference, in levels of 8 bit, of a background block that
            is replaced by an older picture's; 0 is off.
    """

    object_qp: float
    background_qp: float
    margin: float
    hold_seconds: float
    ring_pixels: int
    blur_sigma: float
    freeze_threshold: float

    @property
    def has_qp_offsets(self) -> bool:
        return self.object_qp != 0 or self.background_qp != 0

    @property
    def has_filter(self) -> bool:
        return self.blur_sigma > 0 or self.freeze_threshold > 0

    @property
    def has_effect(self) -> bool:
        """Anything differs between a region and what lies outside of it."""
        return self.has_qp_offsets or self.has_filter

    def qp_offset(self, weight: float) -> float:
        """Returns the QP offset of a region of some weight in [0, 1]."""
        return weight * self.object_qp + (1 - weight) * self.background_qp

    def qp_offsets(self, weights: Mask) -> Mask:
        """Returns the QP offset of each weight in a map."""
        offsets: Mask = self.background_qp + (self.object_qp - self.background_qp) * weights
        return offsets


def region_coding(options: Mapping[str, OptionValue]) -> RegionCoding | None:
    """Returns what checked options say about regions, None where they are off."""
    values = {option.name: options.get(option.name, option.default) for option in _ROWS}
    if not values["roi"]:
        return None
    return RegionCoding(
        object_qp=float(values["roi-object-qp"]),
        background_qp=float(values["roi-background-qp"]),
        margin=float(values["roi-margin"]),
        hold_seconds=float(values["roi-hold"]),
        ring_pixels=int(values["roi-ring"]),
        blur_sigma=float(values["roi-blur"]),
        freeze_threshold=float(values["roi-freeze"]),
    )


def roi_options(steps_per_qp: int) -> tuple[Option, ...]:
    """Returns the rows for one encoder.

    Args:
        steps_per_qp: What one QP of H.264 is on the encoder's CRF scale, roughly.
    """
    on = (Requires("roi", (1,)),)

    # More than 12 is not worth it: an object offset of -12.75 made a noisy clip ten times larger.
    def qp(low: int, high: int) -> Floats:
        return Floats(low * steps_per_qp, high * steps_per_qp, float(steps_per_qp))

    return (
        Option(name="roi", default=0, values=Ints(0, 1), is_ours=True,
               doc="regions of interest around what the detector sees"),
        Option(name="roi-object-qp", default=0.0, values=qp(-12, 0), search=qp(-6, 0),
               requires=on, is_ours=True, doc="QP offset of objects"),
        Option(name="roi-background-qp", default=0.0, values=qp(0, 12), search=qp(0, 10),
               requires=on, is_ours=True, doc="QP offset of what lies outside of regions"),
        Option(name="roi-margin", default=0.1, values=Floats(0, 2, 0.1), search=Floats(0, 0.5, 0.1),
               requires=on, is_ours=True, doc="growth of a box on each side, as share of its size"),
        Option(name="roi-hold", default=0.2, values=Floats(0, 10, 0.2), search=Floats(0, 1, 0.2),
               requires=on, is_ours=True, doc="seconds before an object is seen, and after"),
        Option(name="roi-ring", default=0, values=Ints(0, 256), search=Choice((0, 16, 32)),
               requires=on, is_ours=True, doc="pixels around a region with half of the offsets"),
        Option(name="roi-blur", default=0.0, values=Floats(0, 20, 0.5), search=Floats(0, 3, 0.5),
               requires=on, is_ours=True, doc="low-pass of the background before the encoder"),
        Option(name="roi-freeze", default=0.0, values=Floats(0, 30, 1), search=Floats(0, 6, 1),
               requires=on, is_ours=True, doc="holds a static background that changes no more"),
    )  # fmt: skip


def roi_starts(steps_per_qp: int) -> tuple[tuple[tuple[str, OptionValue], ...], ...]:
    """Returns regions worth a trial before the sampler knows anything."""
    some, much = 6.0 * steps_per_qp, 10.0 * steps_per_qp
    return (
        (("roi", 1), ("roi-background-qp", some)),
        (("roi", 1), ("roi-background-qp", much), ("roi-ring", 16)),
        (("roi", 1), ("roi-background-qp", some), ("roi-freeze", 3.0)),
        (("roi", 1), ("roi-background-qp", some), ("roi-blur", 1.5)),
    )


_ROWS = roi_options(1)
