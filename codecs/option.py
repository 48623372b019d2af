"""What a row of the encoder table is made of: typed values, conditions, options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .errors import SettingsError

Codec = Literal["x264", "x265", "svtav1"]
OptionValue = int | float | str


@dataclass(frozen=True, slots=True)
class Ints:
    """Whole numbers from ``low`` to ``high``, both included."""

    low: int
    high: int

    def contains(self, value: OptionValue) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high

    def parse(self, name: str, text: str) -> OptionValue:
        try:
            return int(text)
        except ValueError:
            raise SettingsError(f"{name} must be {self}, got {text!r}") from None

    def __str__(self) -> str:
        return f"a whole number in [{self.low}, {self.high}]"


@dataclass(frozen=True, slots=True)
class Floats:
    """Numbers from ``low`` to ``high``, both included; a search moves in ``step``."""

    low: float
    high: float
    step: float

    def contains(self, value: OptionValue) -> bool:
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def parse(self, name: str, text: str) -> OptionValue:
        try:
            return float(text)
        except ValueError:
            raise SettingsError(f"{name} must be {self}, got {text!r}") from None

    def __str__(self) -> str:
        return f"a number in [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    values: tuple[OptionValue, ...]

    def contains(self, value: OptionValue) -> bool:
        return value in self.values

    def parse(self, name: str, text: str) -> OptionValue:
        for value in self.values:
            if str(value) == text:
                return value
        raise SettingsError(f"{name} must be {self}, got {text!r}")

    def __str__(self) -> str:
        return f"one of {', '.join(str(value) for value in self.values)}"


Values = Ints | Floats | Choice


@dataclass(frozen=True, slots=True)
class AtLeast:
    """All numbers from ``low`` on, in a condition."""

    low: int

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and value >= self.low


@dataclass(frozen=True, slots=True)
class Requires:
    """A condition: another option's value, given or default, must be one of ``values``."""

    name: str
    values: tuple[OptionValue, ...] | AtLeast

    def is_met(
        self, options: Mapping[str, OptionValue], encoder: Encoder, preset: str | None = None
    ) -> bool:
        """Says whether it holds at a preset; at the encoder's usual one where None."""
        default = encoder.default_at(preset or encoder.default_preset, self.name)
        return options.get(self.name, default) in self.values

    def __str__(self) -> str:
        if isinstance(self.values, AtLeast):
            return f"{self.name} of at least {self.values.low}"
        return f"{self.name}={' or '.join(str(value) for value in self.values)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of an encoder.

    Attributes:
        name: Name here and on the command line.
        default: The encoder's value at its default preset; one that ``values`` do not hold means
            off, which is said by not giving the option.
        values: What the encoder takes.
        search: What a search tries; None where it is the user's choice (latency, seeking) or
            costs encode time.
        requires: Conditions; all must hold.
        not_presets: Presets at which the encoder ignores the option by itself, or refuses it.
        part_of: Encoder parameter that this option is one comma-separated part of.
        is_ours: Done around the encoder, which is not told of it.
        doc: What it does, in a few words.
    """

    name: str
    default: OptionValue
    values: Values
    search: Values | None = None
    requires: tuple[Requires, ...] = ()
    not_presets: tuple[str, ...] = ()
    part_of: str | None = None
    is_ours: bool = False
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """One row: an encoder and how FFmpeg is told to run it.

    Attributes:
        codec: Name of the row.
        ffmpeg_name: FFmpeg's encoder.
        decoder_name: FFmpeg's decoder for its stream.
        library: File name stem of the library in PyAV's wheel, for its version.
        quiet_environment: Variables, set unless they are, that keep the library from printing.
        params_name: FFmpeg option that carries the encoder's own options.
        fixed_params: Parameters of every encode; ``{threads}`` is filled in.
        avx512_params: More of them where the processor has AVX-512, in process only: another
            machine may not know them.
        crf_param: Name of the CRF inside ``params_name``; None where FFmpeg's ``crf`` is exact.
        presets: Slowest first.
        crf_range: Lowest, highest, step.
        search_crf: Lowest and highest CRF of a search.
        qp_range: Lowest and highest constant QP.
        max_kbps: Highest average bitrate in kbit/s; x264's and x265's is ours.
        options: Every option that may be set.
        preset_defaults: By preset, what is not as at the default preset; None where no value that
            may be set is what the preset does.
        starts: Settings worth a trial before the sampler knows anything.
        roi_starts: The same, of regions of interest.
        roi_by_side_data: FFmpeg passes regions on; else the library is told directly.
        roi_rate_control: Kinds of rate control at which the encoder heeds QP offsets.
        roi_block: Side in pixels of the smallest block that has a QP offset of its own.
        join_options: With which streams of any CRF have equal headers, so that they can be joined.
    """

    codec: Codec
    ffmpeg_name: str
    decoder_name: str
    library: str
    quiet_environment: tuple[tuple[str, str], ...] = ()
    params_name: str
    fixed_params: str
    avx512_params: str | None = None
    crf_param: str | None
    presets: tuple[str, ...]
    default_preset: str
    crf_range: tuple[float, float, float]
    search_crf: tuple[int, int]
    qp_range: tuple[int, int]
    max_kbps: int
    options: tuple[Option, ...]
    preset_defaults: tuple[tuple[str, tuple[tuple[str, OptionValue | None], ...]], ...] = ()
    starts: tuple[tuple[tuple[str, OptionValue], ...], ...]
    roi_starts: tuple[tuple[tuple[str, OptionValue], ...], ...]
    roi_by_side_data: bool
    roi_rate_control: tuple[Literal["crf", "qp", "bitrate"], ...]
    roi_block: int
    join_options: tuple[tuple[str, OptionValue], ...] = ()

    def option(self, name: str) -> Option:
        """Returns the option of that name.

        Raises:
            SettingsError: The encoder has no such option in the table.
        """
        for option in self.options:
            if option.name == name:
                return option
        raise SettingsError(f"{self.codec} has no option {name!r}; see 'ratesight encoders'")

    def default_at(self, preset: str, name: str) -> OptionValue | None:
        """Returns an option's value at a preset; None where no value is what the preset does.

        Raises:
            SettingsError: The encoder has no such option in the table.
        """
        default = self.option(name).default
        return dict(dict(self.preset_defaults).get(preset, ())).get(name, default)
