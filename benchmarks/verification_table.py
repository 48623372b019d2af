"""The table of ``benchmarks.verification_change``; needs nothing but the standard library."""

from __future__ import annotations

from typing import Any

_CODECS = ("x264", "x265", "svtav1")


def table(results: dict[str, Any]) -> str:
    """Returns a row a setting: accuracy in percent, its change in points, what is kept of faces."""
    columns = (
        "encoder | CRF | bits a pixel | accuracy at the originals' threshold | change (95 % "
        "interval) | accuracy at a threshold of its own | cosine kept | cosine kept, held-out "
        "persons | `faces` says of them"
    )
    lines = [f"| {columns} |", "|" + "---|" * (columns.count("|") + 1)]
    rows = sorted(results["rows"], key=lambda row: (_CODECS.index(row["codec"]), row["crf"]))
    for row in rows:
        change, low, high = (row[name] * 100 for name in ("change", "low", "high"))
        lines.append(
            f"| {row['codec']} | {row['crf']:g} | {row['bits_per_pixel']:.2f} | "
            f"{row['distorted'] * 100:.1f} % | {change:+.1f} ({low:+.1f} to {high:+.1f}) | "
            f"{row['refitted'] * 100:.1f} % | {row['cosine_kept']:.2f} | "
            f"{row['held_out_cosine_kept']:.2f} | {row['held_out_predicted']:.2f} |"
        )
    return "\n".join(lines) + (
        f"\n\nOriginals: {rows[0]['original'] * 100:.1f} % of {results['num_pairs']} pairs of "
        f"{results['num_photos']} photos are told right; {results['num_held_out_photos']} photos "
        f"show persons on whom `faces` was not trained.\n"
    )
