"""What a clip may cost: nobody knows where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from .errors import ClipError, LimitError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLimits:
    """Limits above which a clip is refused, generous ones unless told otherwise.

    Attributes:
        size_gb: Of the file, or of all pictures in the folder; 1e9 bytes.
        pixels: Width times height.
        frames: That may be decoded.
        decode_seconds: Time that reading and decoding may take; what is done with the frames does
            not count.
        stall_seconds: Time that a file or a host may take to answer.
        scratch_gb: Of decoded frames on the disk; 1e9 bytes.
        allow_network: Whether http, https and rtsp clips are opened.

    Raises:
        LimitError: One is not above 0.
    """

    size_gb: float = 1000.0
    pixels: int = 8192 * 4320  # 8K, as DCI has it
    frames: int = 24 * 3600 * 60  # a day at 60 fps
    decode_seconds: float = 6 * 3600.0
    stall_seconds: float = 60.0
    scratch_gb: float = 1000.0
    allow_network: bool = False

    def __post_init__(self) -> None:
        for name in LIMITS:
            if not getattr(self, name) > 0:
                raise LimitError(
                    f"limit {_spelling(name)} must be above 0, got {getattr(self, name):g}"
                )

    def check_size(self, size_bytes: int, path: Path) -> None:
        """Refuses a file that is too large."""
        self._check("size_gb", size_bytes / 1e9, f"{path} has {size_bytes / 1e9:.3g} GB")

    def check_pixels(self, width: int, height: int, path: Path) -> None:
        """Refuses pictures that are too large."""
        self._check("pixels", width * height, f"{path} is {width}x{height}")

    def check_frames(self, num_frames: int, path: Path) -> None:
        """Refuses a clip that is too long."""
        self._check("frames", num_frames, f"{path} has {num_frames} or more")

    def check_decode_seconds(self, seconds: float, path: Path) -> None:
        """Refuses a clip that takes too long to decode."""
        self._check("decode_seconds", seconds, f"{path} has taken {seconds:.1f} s")

    def check_scratch(self, needed_bytes: int, path: Path) -> None:
        """Refuses a clip that fills the disk."""
        size = f"{needed_bytes / 1e9:.3g} GB"
        self._check("scratch_gb", needed_bytes / 1e9, f"the decoded frames of {path} need {size}")

    def _check(self, name: str, value: float, found: str) -> None:
        limit = getattr(self, name)
        if value > limit:
            raise ClipError(
                f"{_WHAT[name]} must be at most {limit:.12g}, {found}; if the clip is trusted, "
                f"raise it with --limit {_spelling(name)}=N"
            )


_WHAT = {
    "size_gb": "a clip's size in GB",
    "pixels": "a clip's pixels (width x height)",
    "frames": "a clip's frames",
    "decode_seconds": "a clip's seconds of decoding",
    "scratch_gb": "a clip's GB of decoded frames",
}

# Those that are numbers, in the order of their fields.
LIMITS = tuple(one.name for one in fields(ClipLimits) if one.name != "allow_network")

USUAL_LIMITS = ClipLimits()


def parse_limits(texts: Sequence[str], *, allow_network: bool = False) -> ClipLimits:
    """Returns the usual limits but for those given as texts such as ``pixels=1000000``.

    Raises:
        LimitError: A text is not like that, or its number is not above 0.
    """
    names = {_spelling(name): name for name in LIMITS}
    limits = ClipLimits(allow_network=allow_network)
    for text in texts:
        spelling, _, value = text.partition("=")
        try:
            name, number = names[spelling], float(value)
        except (KeyError, ValueError):
            raise LimitError(
                f"limit must be NAME=NUMBER with one of {', '.join(names)}, got {text!r}"
            ) from None
        limits = replace(limits, **{name: number})  # type: ignore[arg-type]  # those are numbers
    return limits


def _spelling(name: str) -> str:
    """Returns a field's name as it is on the command line."""
    return name.replace("_", "-")
