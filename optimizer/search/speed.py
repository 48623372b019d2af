"""Keeps a recommendation to the lowest encode speed that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UnreachableError
from ..request import TuneRequest
from .entrant import Entrant

if TYPE_CHECKING:
    from .verification import Verified


def too_slow(request: TuneRequest, saving: str, on_clips: Sequence[Verified]) -> str | None:
    """Returns why a winner is too slow, verified on a clip or several; None where it is not.

    Args:
        saving: What it does, such as ``The best candidate saves (-7.3 %)``.
    """
    fps = verified_entrant(on_clips).encode_fps
    if request.is_fast_enough(fps):
        return None
    return (
        f"{saving}, but encoded {fps:.1f} frames a second when it was verified, "
        f"against min_fps {request.min_fps:g}."
    )


def verified_entrant(on_clips: Sequence[Verified]) -> Entrant:
    """Returns what was verified as an entrant of its fresh encodes, for their speed."""
    ladders = tuple(one.ladder for one in on_clips)
    return Entrant(settings=ladders[0].settings, clips=ladders)


def check_defaults_speed(request: TuneRequest, anchor: Entrant) -> None:
    """Refuses to recommend defaults that are too slow.

    Args:
        anchor: Of fresh encodes, where there are any.

    Raises:
        UnreachableError: They are slower than asked for.
    """
    if not request.is_fast_enough(anchor.encode_fps):
        raise UnreachableError(
            f"min_fps {request.min_fps:g} is out of reach: nothing that saves is that fast, and "
            f"the defaults of {request.codec} {anchor.settings.preset} encode "
            f"{anchor.encode_fps:.0f} frames a second; choose a faster preset, or ask for less"
        )
