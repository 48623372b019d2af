"""``ratesight bdrate``: BD-rate of curves measured anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import one_line_errors
from .options import (
    DebugOption,
    JsonOption,
    MethodName,
    PolicyName,
)
from .output import print_json, say


def bdrate(
    anchor: Annotated[Path, typer.Argument(help="CSV with columns rate and quality.")],
    test: Annotated[Path, typer.Argument(help="The same for what is compared with it.")],
    method: Annotated[
        MethodName, typer.Option(help="Fit of log rate over quality.")
    ] = MethodName.PCHIP,
    policy: Annotated[
        PolicyName, typer.Option(help="Where quality does not rise with rate: refuse or mend.")
    ] = PolicyName.STRICT,
    min_overlap: Annotated[
        float,
        typer.Option(help="Smallest share of the anchor's quality range that both must cover."),
    ] = 0.25,
    block_frames: Annotated[
        int, typer.Option(help="How many neighbouring frames show the same, for intervals.")
    ] = 1,
    saturation: Annotated[
        float, typer.Option(help="Gain at the top, as a share of the range, that is cut off.")
    ] = 0.005,
    anchor_contestant: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which of several contestants in the anchor's file."),
    ] = None,
    test_contestant: Annotated[
        str | None, typer.Option(metavar="NAME", help="The same for the other file.")
    ] = None,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """BD-rate of curves measured anywhere; columns clip and frame give medians and intervals."""
    with one_line_errors(debug):
        from ..curves.bd_comparison import Rules, compare
        from ..curves.curve_files import read_curves
        from ..errors import RequestError
        from ..reports.comparison_files import comparison_lines

        rules = Rules(
            method=method.value,
            policy=policy.value,
            saturation=saturation,
            min_overlap=min_overlap,
            block_frames=block_frames,
        )
        curves = read_curves(anchor, anchor_contestant), read_curves(test, test_contestant)
        has_frames = any(len(one.qualities[0]) > 1 for some in curves for one in some.values())
        if block_frames != 1 and not has_frames:
            raise RequestError(
                f"block_frames is for curves with a column frame, got {block_frames} and none; "
                f"leave it out"
            )
        found = compare(*curves, rules)
        if json_lines:
            print_json("bd_rate", found.to_json())
            return
        for line in comparison_lines(found):
            say(line)
