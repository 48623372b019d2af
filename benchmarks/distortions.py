"""Makes compressed versions of photos and clips: what the learned metrics are trained on.

Settings are drawn at random over codec, preset, CRF, the encoder's own options and downscaling, so
that versions differ at equal rate too, not in the CRF alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from ratesight.codecs.encode import decode_bgr, encode
from ratesight.codecs.errors import EncodeError
from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.source import Source, load_source
from ratesight.codecs.table import ENCODERS, Choice, Codec, Floats, Ints, OptionValue

Picture = npt.NDArray[np.uint8]

# Presets drawn: a fast one, the usual one, and one between.
_PRESETS: dict[Codec, tuple[str, ...]] = {
    "x264": ("ultrafast", "veryfast", "medium"),
    "x265": ("ultrafast", "veryfast", "medium"),
    "svtav1": ("8", "10", "12"),
}
# The encoder table did not allow these when the pairs of the published results were drawn; drawing
# them would change all that is drawn after them.
_NOT_DRAWN: dict[tuple[Codec, str], str] = {
    ("x264", "ultrafast"): "aq-strength",
    ("x265", "ultrafast"): "psy-rd",
    ("x265", "veryfast"): "psy-rd",
}
# From nothing visible to nothing left: CRF, or JPEG's quality.
_HARD = {"x264": (22, 51), "x265": (22, 51), "svtav1": (28, 70), "jpeg": (3, 50)}
# Above them in quality, where searches look that are to lose hardly anything.
_LIGHT = {"x264": (8, 21), "x265": (8, 21), "svtav1": (8, 27), "jpeg": (51, 95)}
# How often an option is away from its default, and a version is encoded at a smaller size.
_OPTION_CHANCE, _DOWNSCALE_CHANCE = 0.3, 0.2
_SCALES = (0.5, 0.67, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """How one compressed version was made.

    Attributes:
        codec: ``x264``, ``x265``, ``svtav1`` or ``jpeg``.
        crf: On the codec's scale; JPEG's quality.
        scale: Of the side lengths at which it was encoded, in (0, 1].
    """

    codec: str
    preset: str
    crf: float
    options: dict[str, OptionValue]
    scale: float
    bits_per_pixel: float

    @property
    def is_light(self) -> bool:
        """It loses hardly anything."""
        low, high = _LIGHT[self.codec]
        return low <= self.crf <= high

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def read_picture(path: Path) -> Picture:
    """Returns a photo as (height, width, 3) BGR.

    Raises:
        FileNotFoundError: There is no such picture, or it is none.
    """
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(f"{path} is no picture")
    return np.asarray(picture, np.uint8)


def resized(
    picture: Picture, width: int, height: int, interpolation: int = cv2.INTER_AREA
) -> Picture:
    """Returns the picture at another size."""
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)


@contextmanager
def source_of(pictures: Sequence[Picture]) -> Iterator[Source]:
    """Gives (height, width, 3) BGR pictures as a source, decoded like any clip."""
    with tempfile.TemporaryDirectory() as folder:
        for index, picture in enumerate(pictures):
            cv2.imwrite(str(Path(folder) / f"{index:04d}.png"), picture)
        with load_source(Path(folder)) as source:
            yield source


def drawn_versions(
    source: Source,
    pictures: Sequence[Picture],
    wanted: Sequence[int],
    hard: Mapping[str, int],
    light: Mapping[str, int],
    random: np.random.Generator,
) -> list[tuple[Version, list[Picture]]]:
    """Returns versions that are hard to see in, and after them light ones, as ``distort`` does.

    Args:
        source: Of the pictures.
        hard: How many by codec.
        light: The same, of hardly any loss.
    """
    drawn = [
        distort(source, pictures, wanted, codec, crf, random)
        for ranges, counts in ((_HARD, hard), (_LIGHT, light))
        for codec, count in counts.items()
        for crf in _spread(*ranges[codec], count, random)
    ]
    return [one for one in drawn if one is not None]


def _spread(low: int, high: int, count: int, random: np.random.Generator) -> list[float]:
    """Returns values spread over a range, one at random in each of ``count`` parts."""
    edges = np.linspace(low, high + 1, count + 1)
    return [float(np.floor(random.uniform(*edges[index : index + 2]))) for index in range(count)]


def distort(
    source: Source,
    pictures: Sequence[Picture],
    wanted: Sequence[int],
    codec: str,
    crf: float,
    random: np.random.Generator,
) -> tuple[Version, list[Picture]] | None:
    """Returns one compressed version: how it was made, and the wanted frames at full size.

    Args:
        source: Of the pictures.
        crf: Or JPEG's quality.

    Returns:
        None where the encoder refuses the settings drawn.
    """
    height, width = pictures[0].shape[:2]
    num_pixels = width * height * len(pictures)
    if codec == "jpeg":
        coded = [cv2.imencode(".jpg", pictures[i], [cv2.IMWRITE_JPEG_QUALITY, int(crf)])[1]
                 for i in wanted]  # fmt: skip
        bits = sum(len(one) for one in coded) * 8 * len(pictures) / len(wanted)
        version = Version(
            codec=codec, preset="", crf=crf, options={}, scale=1.0, bits_per_pixel=bits / num_pixels
        )
        return version, [np.asarray(cv2.imdecode(one, cv2.IMREAD_COLOR), np.uint8) for one in coded]
    settings = _settings(_codec(codec), crf, random)
    scale = float(random.choice(_SCALES)) if random.random() < _DOWNSCALE_CHANCE else 1.0
    # SVT-AV1 takes no picture below 64 pixels.
    if min(width, height) * scale < 64:
        scale = 1.0
    try:
        if scale == 1.0:
            encoding = encode(source, settings)
            found = list(decode_bgr(encoding, frozenset(wanted), source.color_space))
        else:
            size = (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
            small = [resized(one, *size) for one in pictures]
            with source_of(small) as smaller:
                encoding = encode(smaller, settings)
                found = [
                    resized(one, width, height, cv2.INTER_CUBIC)
                    for one in decode_bgr(encoding, frozenset(wanted), smaller.color_space)
                ]
    except EncodeError:
        return None
    version = Version(
        codec=codec,
        preset=settings.preset,
        crf=crf,
        options=dict(settings.options),
        scale=scale,
        bits_per_pixel=encoding.size_bytes * 8 / num_pixels,
    )
    return version, found


def _codec(name: str) -> Codec:
    return next(codec for codec in ENCODERS if codec == name)


def _settings(codec: Codec, crf: float, random: np.random.Generator) -> EncodeSettings:
    """Returns settings whose options are drawn from what the search tries."""
    encoder = ENCODERS[codec]
    preset = str(random.choice(_PRESETS[codec]))
    chosen: dict[str, OptionValue] = {}
    for option in encoder.options:
        if option.search is None or option.is_ours or preset in option.not_presets:
            continue
        if option.name == _NOT_DRAWN.get((codec, preset)):
            continue
        if not all(requirement.is_met(chosen, encoder) for requirement in option.requires):
            continue
        if random.random() < _OPTION_CHANCE:
            chosen[option.name] = _draw(option.search, random)
    # An option drawn later may break the condition of an earlier one.
    chosen = {
        name: value
        for name, value in chosen.items()
        if all(need.is_met(chosen, encoder) for need in encoder.option(name).requires)
    }
    return EncodeSettings(
        codec=codec,
        preset=preset,
        rate_control=Crf(value=crf),
        options=sorted_options(chosen),
    )


def _draw(values: Ints | Floats | Choice, random: np.random.Generator) -> OptionValue:
    match values:
        case Ints(low=low, high=high):
            return int(random.integers(low, high + 1))
        case Floats(low=low, high=high, step=step):
            steps = round((high - low) / step)
            return round(low + step * int(random.integers(steps + 1)), 6)
        case Choice(values=choices):
            return choices[int(random.integers(len(choices)))]
