"""``ratesight probe``: what a clip is."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from .errors import one_line_errors
from .options import (
    AllowNetworkOption,
    ClipArgument,
    DebugOption,
    FrameRateOption,
    JsonOption,
    LimitOption,
    parse_frame_rate,
)
from .output import print_json, say


def probe(
    clip: ClipArgument,
    frame_rate: FrameRateOption = None,
    limit: LimitOption = None,
    allow_network: AllowNetworkOption = False,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what a clip is, by decoding it."""
    with one_line_errors(debug):
        from ...codecs.address import shown_clip
        from ...codecs.clip import probe as probe_clip
        from ...codecs.limits import parse_limits

        limits = parse_limits(limit or [], allow_network=allow_network)
        facts = dataclasses.asdict(probe_clip(clip, parse_frame_rate(frame_rate), limits))
        facts["path"] = shown_clip(clip)
        facts = {
            name: str(value) if isinstance(value, Fraction) else value
            for name, value in facts.items()
        }
        if json_lines:
            print_json("clip", facts)
            return
        width = max(map(len, facts))
        for name, value in facts.items():
            say(f"{name:<{width}}  {'-' if value is None else value}")
