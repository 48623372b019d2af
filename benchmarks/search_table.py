"""A measured grid, read: what an encode would give, and which settings are truly the best."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ratesight.codecs.settings import sorted_options
from ratesight.codecs.table import Codec, OptionValue
from ratesight.optimizer.curves.curve import RdPoint, fit_curve

Floats = npt.NDArray[np.float64]
# Pairs sorted by name, options at their default left out.
Options = tuple[tuple[str, OptionValue], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCombination:
    """One combination of options at a few CRFs.

    Attributes:
        crfs: (n,) rising.
        log_rates: (n,) natural log of kbit/s.
        qualities: (n,) as measured.
    """

    crfs: Floats
    log_rates: Floats
    qualities: Floats

    def at(self, crf: float) -> tuple[float, float]:
        """Returns log rate and quality at a CRF.

        Between two measured CRFs both are linear in CRF, beyond the last ones too. Quality stays
        in [0, 1].
        """
        right = int(np.clip(np.searchsorted(self.crfs, crf), 1, len(self.crfs) - 1))
        left = right - 1
        share = (crf - self.crfs[left]) / (self.crfs[right] - self.crfs[left])
        log_rate, quality = (
            float(values[left] + share * (values[right] - values[left]))
            for values in (self.log_rates, self.qualities)
        )
        return log_rate, min(max(quality, 0.0), 1.0)

    def rate_at(self, quality: float) -> float:
        """Returns the kbit/s at which its own monotone curve reaches a quality.

        Raises:
            ValueError: The curve does not reach it, or lies above it.
        """
        reading = fit_curve(
            [
                RdPoint(crf=float(crf), rate_kbps=math.exp(log_rate), quality=float(found))
                for crf, log_rate, found in zip(
                    self.crfs, self.log_rates, self.qualities, strict=True
                )
            ]
        ).rate_at(quality)
        if reading.end is not None:
            raise ValueError(f"the curve must cross the target quality {quality:g}")
        return reading.value


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTable:
    """Everything that was measured of one clip and encoder.

    Attributes:
        values: The values that each option takes, in the order of the encoder's table.
        rates_at_target: kbit/s at the target quality by combination, each read off its own curve:
            the truth that choices are judged by.
    """

    clip: str
    codec: Codec
    target_quality: float
    values: Mapping[str, tuple[OptionValue, ...]]
    combinations: Mapping[Options, MeasuredCombination]
    rates_at_target: Mapping[Options, float]

    @property
    def name(self) -> str:
        return f"{Path(self.clip).stem} {self.codec}"

    @property
    def crfs(self) -> tuple[float, float]:
        """Lowest and highest CRF at which every combination was measured."""
        every = self.combinations.values()
        return (
            float(max(one.crfs[0] for one in every)),
            float(min(one.crfs[-1] for one in every)),
        )

    def excess(self, options: Options) -> float:
        """Returns by how much the rate at the target exceeds the grid's best; 0.03 is 3 %."""
        return self.rates_at_target[options] / self.rates_at_target[self.best] - 1

    @property
    def best(self) -> Options:
        """The combination of the lowest rate at the target."""
        return min(self.rates_at_target, key=self.rates_at_target.__getitem__)

    def num_within(self, excess: float) -> int:
        """Returns how many combinations are that near to the best, it included."""
        return sum(self.excess(options) <= excess for options in self.combinations)


@dataclass(frozen=True, slots=True)
class Step:
    """What a method would recommend after a number of encodes; None before it knows any."""

    num_encodes: int
    options: Options | None


def make_table(
    *,
    clip: str,
    codec: Codec,
    target_quality: float,
    values: Mapping[str, tuple[OptionValue, ...]],
    rows: Mapping[Options, list[tuple[float, float, float]]],
) -> SearchTable:
    """Returns the table of (CRF, kbit/s, quality) rows by combination.

    Raises:
        ValueError: A combination does not reach the target, or lies above it at all its CRFs.
    """
    combinations = {}
    for options, points in rows.items():
        crfs, rates, qualities = np.array(sorted(points)).T
        combinations[options] = MeasuredCombination(
            crfs=crfs, log_rates=np.log(rates), qualities=qualities
        )
    return SearchTable(
        clip=clip,
        codec=codec,
        target_quality=target_quality,
        values=values,
        combinations=combinations,
        rates_at_target={
            options: one.rate_at(target_quality) for options, one in combinations.items()
        },
    )


def read_table(file: Path, values: Mapping[str, tuple[OptionValue, ...]]) -> SearchTable:
    """Returns the table that ``benchmarks.search_grid`` wrote."""
    grid = json.loads(file.read_text())
    return make_table(
        clip=grid["clip"],
        codec=grid["codec"],
        target_quality=grid["target_quality"],
        values=values,
        rows={
            sorted_options(one["options"]): [(row[0], row[1], row[2]) for row in one["points"]]
            for one in grid["combinations"]
        },
    )


def encodes_needed(table: SearchTable, steps: Sequence[Step], within: float) -> int | None:
    """Returns after how many encodes what is recommended is that near to the best and stays so.

    None where it is not so at the end.
    """
    needed = None
    for step in steps:
        if step.options is None or table.excess(step.options) > within:
            needed = None
        elif needed is None:
            needed = step.num_encodes
    return needed
