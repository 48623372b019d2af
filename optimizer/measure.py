"""Measures many settings side by side, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import joblib

from ..codecs.errors import EncodeError
from ..codecs.settings import EncodeSettings
from .bench import Bench, Measurement, measurement_from_json
from .store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The outcome of one of several settings.

    Attributes:
        index: Which of the settings.
        outcome: The measurement, or why the encoder failed.
    """

    index: int
    outcome: Measurement | EncodeError
    is_from_store: bool


@dataclass(slots=True, kw_only=True)
class Measurer:
    """Runs measurements in threads of this process.

    Threads are enough: encoders, decoders and networks all let go of the interpreter lock, and
    the source stays in one place.

    Attributes:
        fresh: Measurements made.
        num_from_store: Measurements found in the store.
    """

    store: Store
    parallel: joblib.Parallel
    fresh: list[Measurement] = field(default_factory=list)
    num_from_store: int = 0

    def measure(
        self, bench: Bench, settings: Sequence[EncodeSettings], *, reuse: bool = True
    ) -> Iterator[Measured]:
        """Yields the outcome of each of the settings, as they come in.

        Args:
            reuse: Take what the store holds; else measure all of it afresh.
        """
        todo = []
        for index, one in enumerate(settings):
            stored = self.store.get(bench.measurement_key(one)) if reuse else None
            if stored is None:
                todo.append((index, one))
            else:
                self.num_from_store += 1
                outcome = measurement_from_json(stored)
                yield Measured(index=index, outcome=outcome, is_from_store=True)
        tasks = (joblib.delayed(_measure)(bench, index, one) for index, one in todo)
        for measured in self.parallel(tasks):
            if isinstance(measured.outcome, Measurement):
                # Stored by the thread that owns the connection, the moment it is there.
                key = bench.measurement_key(settings[measured.index])
                self.store.put(key, measured.outcome.to_json())
                self.fresh.append(measured.outcome)
            yield measured


def _measure(bench: Bench, index: int, settings: EncodeSettings) -> Measured:
    try:
        return Measured(index=index, outcome=bench.measure(settings), is_from_store=False)
    except EncodeError as error:
        return Measured(index=index, outcome=error, is_from_store=False)
