"""Keeps a recommendation to the lowest encode speed that was asked for."""

from __future__ import annotations

from dataclasses import replace

from ..request import TuneRequest
from .entrant import Entrant
from .verification import Verification, Verified, judge


def fast_enough(request: TuneRequest, verification: Verification) -> Verification:
    """Returns a verification whose winner is as fast as was asked for; else the defaults win.

    The search goes by speeds of the store, that another machine or another load may have measured;
    the encodes of the verification are fresh. Whether the defaults are fast enough is not looked
    at, ``check_defaults_speed`` does.
    """
    winner = verification.winner
    if request.min_fps is None or winner is verification.anchor:
        return verification
    fps = verified_entrant(winner).encode_fps
    if fps >= request.min_fps:
        return verification
    kept = judge(request, verification.anchor, [], [])
    what = "with regions saves" if winner.role == "regions" else "saves"
    note = (
        f"The best candidate {what} ({verification.change.percent:+.1f} %), but encoded "
        f"{fps:.1f} frames a second when it was verified, against min_fps {request.min_fps:g}."
    )
    return replace(kept, contenders=verification.contenders, notes=[note, *kept.notes])


def verified_entrant(one: Verified) -> Entrant:
    """Returns what was verified as an entrant of its fresh encodes, for their speed."""
    return Entrant(settings=one.ladder.settings, clips=(one.ladder,))
