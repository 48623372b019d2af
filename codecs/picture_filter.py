"""Runs frames through filters of FFmpeg, as the ffmpeg command does."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph


class PictureFilter:
    """Filters, one after another, each of which makes one frame of one; a thread needs its own.

    PyAV's VideoReformatter gives other chroma than the command where a decoder says that chroma
    lies to the left (up to 3 of 255 in 4:2:0 that is scaled, 42 in 4:4:4).
    """

    def __init__(self, *filters: tuple[str, str]) -> None:
        """Stores the filters: the name of each and its arguments."""
        self._filters = filters
        self._form = ("", 0, 0, 0, 0)
        self._graph: Graph | None = None

    def apply(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Returns the filtered frame."""
        colour = (int(frame.colorspace), int(frame.color_range))
        form = (frame.format.name, frame.width, frame.height, *colour)
        if self._graph is None or form != self._form:
            self._form, self._graph = form, self._new_graph(frame)
        self._graph.push(frame)
        filtered = self._graph.pull()
        assert isinstance(filtered, av.VideoFrame)
        return filtered

    def _new_graph(self, first: av.VideoFrame) -> Graph:
        graph = Graph()
        graph.threads = 1  # encodes run side by side
        last = graph.add(
            "buffer",
            f"video_size={first.width}x{first.height}:pix_fmt={first.format.name}:"
            f"time_base={first.time_base or Fraction(1, 25)}:"
            f"colorspace={int(first.colorspace)}:range={int(first.color_range)}",
        )
        for name, arguments in self._filters:
            added = graph.add(name, arguments)
            last.link_to(added)
            last = added
        last.link_to(graph.add("buffersink"))
        graph.configure()
        return graph
