"""``ratesight encoders``: the encoder table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .errors import one_line_errors
from .options import (
    DebugOption,
    JsonOption,
)
from .output import open_console, print_json

if TYPE_CHECKING:
    from ...codecs.table import Encoder, Values

# Columns of a terminal from which a sentence an option fits.
_WIDE = 120


def encoders(json_lines: JsonOption = False, debug: DebugOption = False) -> None:
    """List the encoders here: version, presets, options, ranges, conditions."""
    with one_line_errors(debug):
        from ...codecs.encoder import encoder_version
        from ...codecs.table import ENCODERS

        for encoder in ENCODERS.values():
            version = encoder_version(encoder.codec)
            if json_lines:
                print_json("encoder", {**dataclasses.asdict(encoder), "version": version})
            else:
                _print_encoder(encoder, version)


def _print_encoder(encoder: Encoder, version: str) -> None:
    """Prints a row of the encoder table."""
    from rich.table import Table

    low, high, step = encoder.crf_range
    console = open_console()
    console.print(f"{encoder.codec}  {version}", style="bold")
    console.print(f"presets {' '.join(encoder.presets)} (usual: {encoder.default_preset})")
    console.print(
        f"crf {low:g} to {high:g} in steps of {step:g}, searched from {encoder.search_crf[0]} to "
        f"{encoder.search_crf[1]}; qp {encoder.qp_range[0]} to {encoder.qp_range[1]}"
    )
    table = Table(box=None, pad_edge=False)
    columns = ["option", "default", "takes", "searched", "needs"]
    if console.width >= _WIDE:
        columns.append("what it does")
    for column in columns:
        table.add_column(column, no_wrap=column in columns[:4])
    for option in encoder.options:
        needs = [str(requirement) for requirement in option.requires]
        if option.not_presets:
            ignoring = [preset for preset in encoder.presets if preset in option.not_presets]
            needs.append(f"preset not {' '.join(ignoring)}")
        table.add_row(
            option.name,
            str(option.default),
            _brief(option.values),
            "-" if option.search is None else _brief(option.search),
            ", ".join(needs) or "-",
            *([option.doc] if console.width >= _WIDE else []),
        )
    console.print(table)
    console.print()


def _brief(values: Values) -> str:
    """Returns ``0..3``, ``0..2 by 0.1`` or ``flat|jvt``."""
    from ...codecs.table import Choice, Floats

    if isinstance(values, Choice):
        return "|".join(str(value) for value in values.values)
    text = f"{values.low:g}..{values.high:g}"
    return f"{text} by {values.step:g}" if isinstance(values, Floats) else text
