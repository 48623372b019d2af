"""Every error ends in one line and an exit code."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from ..reports.plain_text import printable

FAILED, MISUSED, NOT_VERIFIED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM: a scheduler or a shutdown asks the process to end."""


@contextmanager
def one_line_errors(debug: bool) -> Iterator[None]:
    """Turns every error into one line and an exit code."""
    from ...codecs.errors import CodecError, LimitError, SettingsError
    from ...metrics.errors import MetricError
    from ..errors import OptimizerError, RecommendationError, RequestError

    try:
        with _terminable():
            yield
    except (typer.Exit, SystemExit, BrokenPipeError):
        raise
    except KeyboardInterrupt as error:
        _fail(
            "stopped; what was measured is kept, the same command goes on from there",
            TERMINATED if isinstance(error, _Terminated) else INTERRUPTED,
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


@contextmanager
def _terminable() -> Iterator[None]:
    """Lets SIGTERM end a command as Ctrl-C does, so that nothing half-made stays behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: str, code: int) -> NoReturn:
    print(f"ratesight: {printable(' '.join(message.split()))}", file=sys.stderr)
    raise typer.Exit(code)
