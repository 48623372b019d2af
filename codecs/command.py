"""Prints the ffmpeg command that encodes a clip with given settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .address import network_address, shown_clip
from .container import picture_pattern
from .encoder import ffmpeg_options
from .frames import MATRIX_OF_CONVERTED_RGB
from .orientation import Orientation
from .scaling import FLAGS, scaled_size
from .settings import EncodeSettings
from .shell import shell_join
from .source import Segment, Source
from .table import ENCODERS

# FFmpeg's options whose command line name says which stream they are for.
_NAMES = {"b": "b:v"}


def ffmpeg_command(
    settings: EncodeSettings,
    source: Source,
    *,
    input_name: str,
    output_name: str,
    segment: Segment | None = None,
) -> str:
    """Returns the command line, quoted for a shell, that encodes a clip with these settings.

    Args:
        settings: What is asked of the encoder.
        source: The decoded clip, for what ffmpeg must be told about it.
        input_name: Path of the clip, or of the folder of pictures.
        output_name: File to write.
        segment: Only these frames, the first of them shown at time 0.

    Raises:
        SettingsError: The height does not fit the source.
    """
    encoder = ENCODERS[settings.codec]
    words = ["ffmpeg", *_input(source, input_name), "-map", "0:V:0"]
    filters = []
    if segment is not None:
        end = segment.start_frame + segment.num_frames
        filters.append(f"trim=start_frame={segment.start_frame}:end_frame={end}")
        filters.append("setpts=PTS-STARTPTS")
    filters += _normalising_filters(source)
    if settings.height is not None:
        width, height = scaled_size(source.width, source.height, settings.height)
        # The format first, else frames of another one would be converted and scaled in one go.
        filters += [f"format={source.pix_fmt}", f"scale={width}:{height}:flags={FLAGS}"]
    if filters:
        words += ["-vf", ",".join(filters)]
    if source.is_uneven and source.given_frame_rate is None:
        # Told in frames of the stated rate, two of a faster clip would be at one time.
        words += ["-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
    words += ["-c:v", encoder.ffmpeg_name]
    for name, value in ffmpeg_options(settings).items():
        words += [f"-{_NAMES.get(name, name)}", value]
    if source.is_converted and source.color_space == MATRIX_OF_CONVERTED_RGB:
        # What was RGB has no matrix that ffmpeg could pass on; players would take another one.
        words += ["-colorspace", "smpte170m"]
    return shell_join([*words, "-pix_fmt", source.pix_fmt, _file(output_name)])


def command_notes(source: Source, *, has_ffmpeg: bool) -> Iterator[str]:
    """Yields what a reader must know of printed commands that encode a clip.

    Args:
        has_ffmpeg: One of them is ``ffmpeg_command``'s.
    """
    if source.is_shortened:
        yield "the printed command encodes the whole clip, what max_seconds cut off too"
    if has_ffmpeg and source.is_uneven and source.given_frame_rate is None:
        yield (
            f"ffmpeg tells the encoder the frames' own times, ratesight one rate of "
            f"{float(source.frame_rate):.4g} fps: the encode of the printed ffmpeg command is some "
            f"percent larger or smaller; 'ratesight encode' makes the one that was measured"
        )


def _is_turned_last(source: Source) -> bool:
    """Returns whether the command must turn frames itself, after it has cut or converted them.

    ffmpeg by itself stands frames upright first. Cut afterwards they lose another row or column,
    and chroma that is made of turned frames is other chroma.
    """
    is_turned = source.orientation != Orientation()
    return is_turned and (source.is_cut or source.is_converted)


def _normalising_filters(source: Source) -> list[str]:
    """Returns the filters that make of a clip's frames what the encoder got."""
    filters = []
    if source.is_full_range:
        filters.append("scale=out_range=tv")
    if source.is_converted and (source.is_cut or _is_turned_last(source)):
        filters.append(f"format={source.pix_fmt}")
    if source.is_cut:
        sides = (source.width, source.height)
        width, height = sides[::-1] if source.orientation.is_transposed else sides
        filters.append(f"crop={width}:{height}:0:0")
    return filters + (source.orientation.filters if _is_turned_last(source) else [])


def _input(source: Source, name: str) -> list[str]:
    """Returns the words that name the clip and its frame rate where it has none of its own."""
    # With -noautorotate the frames would be the same, and what is written be turned once more.
    turn = ["-display_rotation", "0"] if _is_turned_last(source) else []
    if source.path.is_dir():
        pattern, start_number = picture_pattern(source.path)
        path = f"{name.replace('%', '%%').rstrip('/')}/{pattern}"
        rate = ["-framerate", str(source.frame_rate), "-start_number", str(start_number)]
        return [*turn, *rate, "-i", _file(path)]
    rate = [] if source.given_frame_rate is None else ["-r", str(source.given_frame_rate)]
    return [*turn, *rate, "-i", _file(name)]


def _file(name: str) -> str:
    """Returns a name that ffmpeg takes neither for an option nor for a protocol."""
    if network_address(Path(name)) is not None:
        return shown_clip(Path(name))
    return f"file:{name}" if name.startswith("-") or ":" in name else name
