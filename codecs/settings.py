"""What an encoder is asked to do: typed rate control, checked options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .errors import SettingsError
from .roi import RegionCoding, region_coding
from .table import ENCODERS, Codec, Encoder, OptionValue

# A choice: the largest block of x265 and SVT-AV1; in less a machine sees next to nothing.
MIN_SIDE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Crf:
    """Constant rate factor, on the encoder's own scale (lower is better)."""

    value: float

    def __post_init__(self) -> None:
        if type(self.value) is int:  # else 21 and 21.0 are two keys, and measured twice
            object.__setattr__(self, "value", float(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Qp:
    """Constant quantisation parameter, on the encoder's own scale."""

    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bitrate:
    """Average bitrate in one pass."""

    rate_kbps: float


RateControl = Crf | Qp | Bitrate

# x265 takes no more frame threads, and says nothing of those it does not.
_MOST_THREADS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """One complete, checked order to an encoder.

    Attributes:
        codec: Row of the encoder table.
        preset: One of the encoder's presets.
        rate_control: Crf, Qp or Bitrate.
        options: (name, value) pairs, sorted by name; names and ranges as in the table.
        num_threads: Threads of this encode. It belongs to the settings because x264's and
            x265's output depends on it.
        height: Lines of the encoded picture, to which frames are scaled; the clip's own where
            None.

    Raises:
        SettingsError: A value is unknown, out of range, or its condition is not met.
    """

    codec: Codec
    preset: str
    rate_control: RateControl
    options: tuple[tuple[str, OptionValue], ...] = ()
    num_threads: int = 1
    height: int | None = None

    def __post_init__(self) -> None:
        if self.codec not in ENCODERS:
            raise SettingsError(f"codec must be one of {', '.join(ENCODERS)}, got {self.codec!r}")
        encoder = ENCODERS[self.codec]
        if self.preset not in encoder.presets:
            raise SettingsError(
                f"preset must be one of {', '.join(encoder.presets)} for {self.codec}, "
                f"got {self.preset!r}"
            )
        if type(self.num_threads) is not int or not 1 <= self.num_threads <= _MOST_THREADS:
            raise SettingsError(
                f"num_threads must be a whole number in [1, {_MOST_THREADS}], got "
                f"{self.num_threads}"
            )
        if list(self.options) != sorted(dict(self.options).items()):
            raise SettingsError("options must be sorted by name and each given once")
        _check_rate_control(encoder, self.rate_control)
        check_options(encoder, self.preset, dict(self.options))
        _check_takes_cap(self.rate_control, dict(self.options))
        if self.regions is not None and self.regions.has_qp_offsets:
            _check_takes_offsets(encoder, self.rate_control)
        if self.height is not None:
            _check_height(self.height)
            if self.regions is not None:
                raise SettingsError(
                    f"height {self.height} and regions of interest (roi=1) exclude each other: "
                    f"regions lie on the clip's own pixels; leave one of them out"
                )

    @property
    def regions(self) -> RegionCoding | None:
        """What the options say about regions of interest, None where they are off."""
        return region_coding(dict(self.options))

    def at(self, rate_control: RateControl) -> EncodeSettings:
        """Returns the same settings at another rate control value."""
        return replace(self, rate_control=rate_control)


def sorted_options(options: Mapping[str, OptionValue]) -> tuple[tuple[str, OptionValue], ...]:
    """Returns the pairs in the order that EncodeSettings wants."""
    return tuple(sorted(options.items()))


def parse_options(encoder: Encoder, pairs: Iterable[str]) -> dict[str, OptionValue]:
    """Returns typed options from ``name=value`` texts, as given on a command line.

    Raises:
        SettingsError: A text has no ``=``, the name is unknown or comes twice, or the value has the
            wrong type.
    """
    options: dict[str, OptionValue] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"an option is written name=value, got {pair!r}")
        if name in options:
            raise SettingsError(f"an option is given once, got {name} twice; leave one of them out")
        options[name] = encoder.option(name).values.parse(name, text)
    return options


def check_options(encoder: Encoder, preset: str, options: Mapping[str, OptionValue]) -> None:
    """Checks names, ranges and conditions of a set of options.

    Raises:
        SettingsError: The first rule that is broken, with the value and the remedy.
    """
    for name, value in options.items():
        option = encoder.option(name)
        if isinstance(value, bool) or not option.values.contains(value):
            raise SettingsError(
                f"{name} must be {option.values} for {encoder.codec}, got {value}; "
                f"see 'ratesight encoders'"
            )
        if preset in option.not_presets:
            raise SettingsError(
                f"{name} does not go with preset {preset} of {encoder.codec}; remove it or "
                f"choose a slower preset"
            )
        for requirement in option.requires:
            if not requirement.is_met(options, encoder, preset):
                raise SettingsError(
                    f"{name} needs {requirement} for {encoder.codec}; add it or remove {name}"
                )


def _check_rate_control(encoder: Encoder, rate_control: RateControl) -> None:
    match rate_control:
        case Crf(value=crf):
            low, high, step = encoder.crf_range
            if not low <= crf <= high:
                raise SettingsError(
                    f"crf must be in [{low:g}, {high:g}] for {encoder.ffmpeg_name}, got {crf:g}; "
                    f"see 'ratesight encoders'"
                )
            if not math.isclose(crf / step, round(crf / step), abs_tol=1e-6):
                raise SettingsError(
                    f"crf must be a multiple of {step:g} for {encoder.ffmpeg_name}, got {crf:g}"
                )
        case Qp(value=qp):
            low_qp, high_qp = encoder.qp_range
            if type(qp) is not int or not low_qp <= qp <= high_qp:
                raise SettingsError(
                    f"qp must be a whole number in [{low_qp}, {high_qp}] for "
                    f"{encoder.ffmpeg_name}, got {qp}"
                )
        case Bitrate(rate_kbps=rate_kbps):
            if not 1 <= rate_kbps <= encoder.max_kbps:
                raise SettingsError(
                    f"rate_kbps must be in [1, {encoder.max_kbps}] for {encoder.ffmpeg_name}, got "
                    f"{rate_kbps:g}"
                )


def _check_height(height: int) -> None:
    if type(height) is not int or height < MIN_SIDE or height % 2:
        raise SettingsError(
            f"height must be an even number of at least {MIN_SIDE} lines, got {height}"
        )


def _check_takes_cap(rate_control: RateControl, options: Mapping[str, OptionValue]) -> None:
    """Refuses a cap on the rate where the encoder ignores it."""
    kind = type(rate_control).__name__.lower()
    for name, kinds in (("vbv-maxrate", ("crf", "bitrate")), ("mbr", ("crf",))):
        if options.get(name) and kind not in kinds:
            raise SettingsError(
                f"{name} needs {' or '.join(kinds)}, got {kind}; choose another rate control or "
                f"remove {name}"
            )
    most = options.get("vbv-maxrate")
    rate_kbps = rate_control.rate_kbps if isinstance(rate_control, Bitrate) else 0
    if isinstance(most, int) and most < rate_kbps:
        raise SettingsError(
            f"vbv-maxrate must be at least the bitrate, {rate_kbps:g} kbit/s, got {most}; raise it"
        )


def _check_takes_offsets(encoder: Encoder, rate_control: RateControl) -> None:
    """Refuses a rate control at which the encoder ignores the QP offsets of regions."""
    kind = type(rate_control).__name__.lower()
    if kind not in encoder.roi_rate_control:
        raise SettingsError(
            f"roi-object-qp and roi-background-qp need {' or '.join(encoder.roi_rate_control)} "
            f"for {encoder.codec}, got {kind}; choose another rate control"
        )
