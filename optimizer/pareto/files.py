"""A Pareto front as files: JSON, CSV, and settings that ``ratesight encode`` takes."""

from __future__ import annotations

import json
from pathlib import Path

from ..reports.output import csv_text, make_empty, write_whole
from .front import FrontMember, ParetoFront

_COLUMNS = (
    "role", "rate_kbps", "quality", "encode_fps", "real_quality", "expected_rate_kbps",
    "expected_quality", "expected_fps", "preset", "crf", "options", "is_on_front",
)  # fmt: skip


def write_front(front: ParetoFront, folder: Path) -> list[Path]:
    """Writes ``pareto.json``, ``pareto.csv`` and ``front/NN.json``; returns the first two.

    Raises:
        OutputError: The folder cannot be written.
    """
    whole, table = folder / "pareto.json", folder / "pareto.csv"
    write_whole(json.dumps(front.to_json(), allow_nan=False, indent=1) + "\n", whole)
    rows = [
        {"role": role, **member_row(member)}
        for role, members in (("front", front.front), ("defaults", front.defaults))
        for member in members
    ]
    write_whole(csv_text(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows)), table)
    make_empty(folder / "front")
    for number, member in enumerate(front.front, 1):
        settings = {"settings": member.settings}
        write_whole(json.dumps(settings, indent=1) + "\n", folder / "front" / f"{number:02d}.json")
    return [whole, table]


def member_row(member: FrontMember) -> dict[str, str]:
    """Returns a member as texts: its verified values, what the search expected, its settings."""
    rate_control, options = member.settings["rate_control"], member.settings["options"]
    assert isinstance(rate_control, dict)
    assert isinstance(options, dict)
    verified, expected = member.verified, member.expected
    return {
        "rate_kbps": f"{verified.rate_kbps:.1f}",
        "quality": f"{verified.quality:.4f}",
        "encode_fps": f"{verified.encode_fps:.1f}",
        "real_quality": "" if member.real_quality is None else f"{member.real_quality:.4f}",
        "expected_rate_kbps": f"{expected.rate_kbps:.1f}",
        "expected_quality": f"{expected.quality:.4f}",
        "expected_fps": f"{expected.encode_fps:.1f}",
        "preset": str(member.settings["preset"]),
        "crf": f"{rate_control['crf']:g}",
        "options": " ".join(f"{name}={value}" for name, value in options.items()),
        "is_on_front": str(member.is_on_front).lower(),
    }
