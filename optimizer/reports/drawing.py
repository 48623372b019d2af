"""One figure of a report: as inline SVG that follows the page's colours, and as PNG.

It is made for the room there is, since text that fits a desk is unreadable on a phone when it is
only made smaller.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from .output import write_whole
from .pictures import ANCHOR_COLOR, INK, WINNER_COLOR, lay_out
from .plain_text import picture_text

# Inches: a desk's column, and a phone of 360 pixels.
WIDE, NARROW = 7.4, 3.5
# An SVG's units are points, whatever is asked for.
_SVG_DPI, _PNG_DPI = 72, 150
# What stands for the page's own colours in an SVG, and what they are there.
_PAGE_COLORS = {
    INK: "currentColor",
    ANCHOR_COLOR: "var(--anchor)",
    WINNER_COLOR: "var(--tuned)",
    "#ffffff": "var(--paper)",
}
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Names of clips and options are words, not formulas: "$" would be an error.
    "text.parse_math": False,
    "svg.fonttype": "none",
}

_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}

Draw = Callable[[float], Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure of a report.

    Attributes:
        name: Of its PNG file, without the ending; and of its ids in the page.
        title: What it shows.
        draw: Makes it for a width in inches.
    """

    name: str
    title: str
    draw: Draw

    def svg(self, width: float) -> str:
        """Returns it as an SVG element that follows the page's colours."""
        data = io.StringIO()
        with _style({"svg.hashsalt": self.name}):
            figure = self.draw(width)
            figure.set_dpi(_SVG_DPI)
            FigureCanvasSVG(figure)
            lay_out(figure)
            figure.savefig(data, format="svg", transparent=True, metadata=_NO_METADATA)
        text = data.getvalue()
        text = text[text.index("<svg") :]
        name = f"{self.name}-{'wide' if width >= WIDE else 'narrow'}"
        text = re.sub(r'\bid="', f'id="{name}-', text)
        text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
        # The element fills its column, and its rules for all elements stay out of the page.
        text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
        text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
        text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
        for color, meaning in _PAGE_COLORS.items():
            text = text.replace(f": {color.lower()}", f": {meaning}")
        return text.replace("<svg ", '<svg role="img" ', 1)

    def write_png(self, folder: Path) -> None:
        """Writes it as PNG, with its title, which the page has as text.

        Raises:
            OutputError: The folder cannot be written.
        """
        path = folder / f"{self.name}.png"
        with _style({}):
            figure = self.draw(WIDE)
            figure.suptitle(picture_text(self.title), x=0.01, ha="left", fontsize=10)
            figure.set_dpi(_PNG_DPI)
            FigureCanvasAgg(figure)
            lay_out(figure)
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=_PNG_DPI)
        write_whole(picture.getvalue(), path)


@contextmanager
def _style(more: dict[str, str]) -> Iterator[None]:
    with mpl.rc_context({**_STYLE, **more}), warnings.catch_warnings():
        # A name in letters that the font has not; a browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=".*Matplotlib currently does not support")
        yield


def empty_axes(width: float, shape: float) -> tuple[Figure, Axes]:
    """Returns an empty figure; on a phone it is taller."""
    shape = shape if width >= WIDE else shape * 1.4
    figure = Figure(figsize=(width, width * shape), layout="constrained")
    return figure, figure.subplots()
