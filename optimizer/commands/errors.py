"""Every error ends in one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from ...codecs.address import without_password
from ..interruption import Terminated, interruptible
from ..reports.plain_text import printable

FAILED, MISUSED, NOT_VERIFIED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143


@contextmanager
def one_line_errors(debug: bool, *, goes_on: bool = False) -> Iterator[None]:
    """Turns every error into one line and an exit code.

    Args:
        goes_on: What was ended goes on from what is in the store.
    """
    from ...codecs.errors import CodecError, LimitError, SettingsError
    from ...metrics.errors import MetricError
    from ..errors import OptimizerError, RecommendationError, RequestError

    try:
        with interruptible():
            yield
    except (typer.Exit, SystemExit, BrokenPipeError):
        raise
    except KeyboardInterrupt as error:
        _fail(
            "stopped; what was measured is kept, the same command goes on from there"
            if goes_on
            else "stopped",
            TERMINATED if isinstance(error, Terminated) else INTERRUPTED,
        )
    except (LimitError, SettingsError, RequestError, RecommendationError) as error:
        if debug:
            raise
        _fail(str(error), MISUSED)
    except (CodecError, MetricError, OptimizerError) as error:
        if debug:
            raise
        _fail(str(error), FAILED)
    except Exception as error:
        # The last resort: a fault of ours still ends in one line.
        if debug:
            raise
        _fail(f"unexpected {type(error).__name__}: {error}; --debug shows where", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    shown = printable(without_password(" ".join(message.split())))
    print(f"ratesight: {shown}", file=sys.stderr)
    raise typer.Exit(code)
