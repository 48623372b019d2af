"""The options that a search may set, and which of them go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...codecs.roi import region_coding
from ...codecs.table import AtLeast, Choice, Encoder, Floats, Ints, Option, OptionValue

# What a study searches: the encoder's own options, or those of regions of interest.
Part = Literal["encoder", "regions"]
# Whole numbers of at most so many values are names of modes rather than amounts.
_MOST_MODES = 4
# Another option, its value where it is not given, and the values that it must have.
_Condition = tuple[str, OptionValue | None, tuple[OptionValue, ...] | AtLeast]


@dataclass(frozen=True, kw_only=True)
class OptionSpace:
    """The searched options of an encoder.

    Attributes:
        fixed: Options that the user set; they are not searched. What a fixed option depends on
            stays as the preset sets it.
    """

    encoder: Encoder
    preset: str
    part: Part
    fixed: Mapping[str, OptionValue]

    @cached_property
    def options(self) -> list[Option]:
        """Options that may be searched, whatever the others are, in table order.

        Not where no value that is searched is what the preset does: a search sets out from there.
        """
        needed = {one.name for name in self.fixed for one in self.encoder.option(name).requires}
        return [
            option
            for option in self.encoder.options
            if option.search is not None
            and option.name not in self.fixed
            and option.name not in needed
            and option.is_ours == (self.part == "regions")
            and self.preset not in option.not_presets
            and self.encoder.default_at(self.preset, option.name) in _searched_values(option)
        ]

    @cached_property
    def defaults(self) -> dict[str, OptionValue]:
        """Returns what the preset itself sets, by option."""
        found: dict[str, OptionValue] = {}
        for option in self.options:
            default = self.encoder.default_at(self.preset, option.name)
            assert default is not None
            found[option.name] = default
        return found

    @cached_property
    def values(self) -> dict[str, list[OptionValue]]:
        """Returns all values that may be proposed, by option."""
        return {option.name: _searched_values(option) for option in self.options}

    @cached_property
    def _conditions(self) -> list[tuple[Option, list[_Condition]]]:
        """Returns each option with its conditions, looked up once: a search asks 100,000 times."""
        return [
            (
                option,
                [
                    (one.name, self.encoder.default_at(self.preset, one.name), one.values)
                    for one in option.requires
                ],
            )
            for option in self.options
        ]

    @cached_property
    def _places(self) -> list[tuple[Option, OptionValue, dict[OptionValue, float]]]:
        """Returns each option with its default and the coordinate of each value searched."""
        return [
            (
                option,
                self.defaults[option.name],
                {value: _coordinate(option, value) for value in self.values[option.name]},
            )
            for option in self.options
        ]

    def has_effect(self, options: Mapping[str, OptionValue]) -> bool:
        """Says whether regions change anything; the encoder's own options may."""
        regions = region_coding({**self.fixed, **options}) if self.part == "regions" else None
        return regions is None or regions.has_effect

    def complete(self, choose: Callable[[Option], OptionValue]) -> dict[str, OptionValue]:
        """Returns a value of each option whose conditions hold for those before it.

        Args:
            choose: Asked in table order.
        """
        chosen = dict(self.fixed)
        for option, conditions in self._conditions:
            for name, default, values in conditions:
                if chosen.get(name, default) not in values:
                    break
            else:
                chosen[option.name] = choose(option)
        return {name: value for name, value in chosen.items() if name not in self.fixed}

    def completed(self, wanted: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """Returns wanted values, and the preset's own of the options searched along with them.

        Those too where a wanted value is not among those searched.
        """

        def choose(option: Option) -> OptionValue:
            default = self.defaults[option.name]
            value = wanted.get(option.name, default)
            return value if value in self.values[option.name] else default

        return self.complete(choose)

    def random(self, rng: np.random.Generator) -> dict[str, OptionValue]:
        """Returns values drawn evenly from what is searched."""

        def choose(option: Option) -> OptionValue:
            values = self.values[option.name]
            return values[rng.integers(len(values))]

        return self.complete(choose)

    def neighbours(
        self, options: Mapping[str, OptionValue], rng: np.random.Generator, most_values: int
    ) -> Iterator[dict[str, OptionValue]]:
        """Yields options with another value of one of them.

        Args:
            most_values: Of one option, drawn at random where it has more.
        """
        for option in self.options:
            if option.name not in options:
                continue
            others = [one for one in self.values[option.name] if one != options[option.name]]
            for index in rng.permutation(len(others))[:most_values]:
                yield self.completed({**options, option.name: others[index]})

    @cached_property
    def is_mode(self) -> npt.NDArray[np.bool_]:
        """Returns (options,) which values are names, of which none lies between two others."""
        return np.array(
            [
                not isinstance(option.search, Floats)
                and len(self.values[option.name]) <= _MOST_MODES
                for option in self.options
            ],
            dtype=bool,
        )

    def coordinates(self, options: Mapping[str, OptionValue]) -> npt.NDArray[np.float64]:
        """Returns (options,) where values lie: 0 to 1 over what is searched, a mode's number.

        What is left out, or not heeded, is as the preset sets it.
        """
        point = []
        for option, default, places in self._places:
            value = options.get(option.name, default)
            place = places.get(value)
            point.append(_coordinate(option, value) if place is None else place)
        return np.array(point)


def _searched_values(option: Option) -> list[OptionValue]:
    """Returns all values that a search may propose."""
    match option.search:
        case Ints(low=low, high=high):
            return list(range(low, high + 1))
        case Floats(low=low, high=high, step=step):
            # Multiples of a step carry binary dust, which would end up in the command.
            return [round(low + step * count, 6) for count in range(round((high - low) / step) + 1)]
        case Choice(values=choices):
            return list(choices)
    raise AssertionError(option.name)


def _coordinate(option: Option, value: OptionValue) -> float:
    match option.search:
        case Choice(values=choices):
            return float(choices.index(value)) if value in choices else -1.0
        case Ints(low=low, high=high) | Floats(low=low, high=high):
            assert not isinstance(value, str)
            return (value - low) / (high - low)
    raise AssertionError(option.name)
