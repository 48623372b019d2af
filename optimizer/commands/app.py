"""The ``ratesight`` command."""

from __future__ import annotations

from typing import Annotated

import typer

from .bdrate import bdrate
from .compare import compare
from .encode import encode
from .encoders import encoders
from .fleet import fleet
from .probe import probe
from .recommend import recommend
from .report import report
from .score import score
from .tune import tune

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tunes x264, x265 and SVT-AV1 for what a machine must still see.",
)
for command in (
    tune, encode, fleet, compare, recommend, report, score, bdrate, probe, encoders,
):  # fmt: skip
    app.command()(command)


def main() -> None:
    """Runs the command line."""
    app()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from ratesight import __version__

        print(f"ratesight {__version__}")
        raise typer.Exit
