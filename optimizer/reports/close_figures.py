"""Figures of a close look: quality over time, frames with their regions, where sight is lost."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from .close_look import CloseLook, LossMaps, Moment, Sight, Version
from .drawing import WIDE, Draw, empty_axes
from .pictures import ANCHOR_COLOR, LOSS_COLORS, WINNER_COLOR

# Okabe and Ito: seen, lost, made up.
FATE_COLORS = {"kept": "#009E73", "lost": "#D55E00", "made up": "#F0E442"}
_VERSION_STYLES: dict[Version, tuple[str, str]] = {
    "defaults": (ANCHOR_COLOR, "-"),
    "defaults at equal rate": (ANCHOR_COLOR, ":"),
    "tuned": (WINNER_COLOR, "-"),
}


def frames(look: CloseLook) -> Draw:
    """Returns quality over time of every version."""

    def draw(width: float) -> Figure:
        figure, axes = empty_axes(width, 0.42)
        for track in look.tracks:
            color, style = _VERSION_STYLES[track.version]
            values = [np.nan if one is None else one for one in track.qualities]
            axes.plot(
                look.times_seconds,
                values,
                style,
                color=color,
                marker="." if len(values) < 120 else None,
                markersize=4,
                linewidth=1.2,
                label=f"{track.version}, {track.rate_kbps:.0f} kbit/s",
            )
        axes.set_xlabel("seconds")
        axes.set_ylabel("task quality")
        axes.set_ylim(-0.03, 1.03)
        axes.grid(alpha=0.25)
        columns = 3 if width >= WIDE else 1
        figure.legend(loc="outside upper left", frameon=False, ncols=columns)
        return figure

    return draw


def pictures(moments: Sequence[Moment]) -> Draw:
    """Returns the chosen frames, a row each: original, and what encodes leave of it."""

    def draw(width: float) -> Figure:
        width *= 1.5
        columns = max(len(one.views) for one in moments)
        shape = max(one.height / one.width for one in moments)
        height = (width / columns * shape + 0.5) * len(moments)
        figure = Figure(figsize=(width, height), layout="constrained")
        fields = figure.subplots(len(moments), columns, squeeze=False)
        for row, moment in zip(fields, moments, strict=True):
            for axes, view in zip(row, moment.views, strict=False):
                shown = imread(io.BytesIO(base64.b64decode(view.jpeg_base64)), format="jpg")
                show_picture(axes, shown, view.sights)
                rate = "" if view.rate_kbps is None else f", {view.rate_kbps:.0f} kbit/s"
                axes.set_title(f"{view.version}{rate}", fontsize=8, loc="left")
            row[0].set_xlabel(f"{moment.time_seconds:.2f} s, {moment.choice}", loc="left")
        return figure

    return draw


def show_picture(axes: Axes, picture: npt.NDArray[np.uint8], sights: Sequence[Sight]) -> None:
    """Shows an RGB picture with what is kept, lost and made up."""
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for sight in sights:
        x0, y0, x1, y1 = sight.box
        axes.add_patch(
            Rectangle(
                (x0, y0), x1 - x0, y1 - y0, fill=False, linewidth=1.2,
                edgecolor=FATE_COLORS[sight.fate],
            )
        )  # fmt: skip


def heat(maps: LossMaps) -> Draw:
    """Returns where a learned metric loses sight, on each version of one frame."""

    def draw(width: float) -> Figure:
        shown = [
            imread(io.BytesIO(base64.b64decode(one.jpeg_base64)), format="jpg") for one in maps.maps
        ]
        rows, columns, _ = shown[0].shape
        figure = Figure(
            figsize=(width, width / len(shown) * rows / columns + 0.9), layout="constrained"
        )
        fields = figure.subplots(1, len(shown), squeeze=False).ravel()
        for axes, one, picture in zip(fields, maps.maps, shown, strict=True):
            axes.imshow(picture.mean(axis=-1), cmap="gray", vmin=0, vmax=255)
            scale = axes.imshow(
                np.array(one.losses),
                cmap=LinearSegmentedColormap.from_list("loss", LOSS_COLORS),
                vmin=0,
                vmax=1,
                extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
                interpolation="bilinear",
            )
            axes.set_axis_off()
            axes.set_title(one.version, fontsize=9, loc="left")
        figure.colorbar(scale, ax=fields, label="predicted loss", shrink=0.8)
        return figure

    return draw
