"""What can go wrong with a clip, with settings, and with an encode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RatesightError

if TYPE_CHECKING:
    from .settings import EncodeSettings


class CodecError(RatesightError):
    """Root of this package's errors."""


class ClipError(CodecError, ValueError):
    """The clip cannot be read, or cannot be paired frame by frame."""


class LimitError(CodecError, ValueError):
    """A limit on clips is none."""


class SettingsError(CodecError, ValueError):
    """Encoder settings are outside of what the encoder takes."""


class RegionError(CodecError, ValueError):
    """Regions of interest are malformed, or do not fit the clip."""


class ScratchError(CodecError, OSError):
    """The decoded clip does not fit on the disk."""


class TargetError(CodecError, OSError):
    """The encoded file cannot be written where it was asked for."""


class EncodeError(CodecError, RuntimeError):
    """An encode failed, ignored one of its options, or lost a frame.

    Attributes:
        settings: What was asked of the encoder.
        log: The encoder's last log lines, oldest first.
    """

    def __init__(self, message: str, settings: EncodeSettings, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.settings = settings
        self.log = log
