"""Encodes a whole file into a file, frame by frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from .container import VideoPacket, open_container
from .encode import rate_kbps
from .errors import EncodeError, TargetError
from .frames import FrameReader
from .limits import USUAL_LIMITS, ClipLimits
from .planes import Planes
from .region import ClipRegions, Region
from .region_encoder import RegionEncoder, require_regions
from .scaling import scaled_format
from .settings import EncodeSettings
from .shots import ShotCrf, ShotEncoder
from .sound import Sound, start_seconds
from .table import ENCODERS
from .whole_file import whole_file

# FFmpeg's muxer of each file name ending.
MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}

# What a file says of itself, not of the clip.
_NOT_KEPT = {"major_brand", "minor_version", "compatible_brands", "encoder"}
# QuickTime and Safari play HEVC under this tag only; FFmpeg's own choice is hev1.
_TAGS = {("x265", "mp4"): "hvc1", ("x265", "mov"): "hvc1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcoded:
    """A file that was written.

    Attributes:
        content_sha256: Of the clip's frames, as of ``Source``.
        size_bytes: Sum of the video packet sizes, without container and sound.
        rate_kbps: Of the video.
        file_size_bytes: Of the whole file.
        encode_seconds: Time inside the encoder.
        notes: What was changed or left out on the way, in words.
    """

    content_sha256: str
    num_frames: int
    size_bytes: int
    rate_kbps: float
    file_size_bytes: int
    encode_seconds: float
    notes: tuple[str, ...]


def transcode(
    settings: EncodeSettings,
    clip_path: Path | str,
    target_path: Path | str,
    *,
    frame_rate: Fraction | None = None,
    limits: ClipLimits = USUAL_LIMITS,
    regions: ClipRegions | None = None,
    shots: Sequence[ShotCrf] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Transcoded:
    """Encodes a whole clip into a file; sound is copied where the container takes it.

    Frames go to the encoder as in ``encode``, evenly spaced, so that the file is what a trial of
    these settings promised. It gets the clip's own time stamps back behind the encoder.

    Args:
        settings: What is asked of the encoder.
        clip_path: A video file, a y4m, or a folder of numbered pictures.
        target_path: File to write, ending in .mp4, .mov or .mkv; replaced if it exists.
        frame_rate: Overrides the clip's own; then its time stamps and sound are left out.
        limits: What the clip may cost.
        regions: Of every frame of the clip, where the settings have regions on.
        shots: All of the clip, each of which starts a new stream with a CRF of its own; one CRF,
            that of the settings, where None.
        progress: Called with the number of frames read so far.

    Raises:
        RegionError: Regions are missing, or are another clip's.
        SettingsError: Shots are not those of the clip.
        ClipError: The clip is unreadable, truncated, interlaced, or changes its size.
        TargetError: The target cannot be written.
        EncodeError: The encoder failed, ignored an option, or lost a frame.
        SettingsError: The height does not fit the clip.
    """
    require_regions(settings, regions)
    clip_path, target_path = Path(clip_path), Path(target_path)
    muxer = check_target(settings, clip_path, target_path)
    with ExitStack() as cleanup:
        partial = cleanup.enter_context(whole_file(target_path))
        container = cleanup.enter_context(open_container(clip_path, frame_rate, limits))
        reader = FrameReader(container, clip_path, frame_rate=frame_rate, limits=limits)
        clock = _Clock(reader, start_seconds(container))
        # When the first frame is shown is written in these units, by default milliseconds.
        precision = {"movie_timescale": str(clock.time_base.denominator)}
        options = precision if muxer in ("mp4", "mov") else {}
        with _writing(target_path):
            output = av.open(str(partial.absolute()), "w", format=muxer, options=options)
        cleanup.callback(_close_quietly, output)
        output.metadata.update(
            {key: told for key, told in container.metadata.items() if key.lower() not in _NOT_KEPT}
        )
        sound = None
        if frame_rate is None and not clip_path.is_dir():
            # Opened once more, so that neither pictures nor sound pile up waiting for the other.
            again = open_container(clip_path, limits=limits)
            sound = Sound(cleanup.enter_context(again), clip_path)
        left_out = list(_left_out(container, has_sound=sound is not None))
        file = _File(settings, reader, clock, output, sound, target_path, regions, shots)
        for planes in reader:
            file.write(planes)
            if progress is not None:
                progress(len(reader.timestamps))
        file.finish()
        with _writing(target_path):
            _check_count(settings, partial, len(reader.timestamps))
            cleanup.close()  # the file gets its name
    num_frames = len(reader.timestamps)
    return Transcoded(
        content_sha256=reader.content_sha256,
        num_frames=num_frames,
        size_bytes=file.size_bytes,
        rate_kbps=rate_kbps(file.size_bytes, num_frames, reader.frame_rate),
        file_size_bytes=target_path.stat().st_size,
        encode_seconds=file.encode_seconds,
        notes=(
            *reader.notes(),
            *clock.notes,
            *file.notes,
            *(sound.notes if sound else ()),
            *left_out,
            *(f"{what} left out" for what in reader.side_data_left_out),
        ),
    )


def check_target(settings: EncodeSettings, clip_path: Path, target_path: Path) -> str:
    """Returns the muxer for a target.

    Raises:
        TargetError: Its name ending is unknown, or not for the codec; its folder is missing, or it
            is the clip.
    """
    muxer = MUXERS.get(target_path.suffix.lower())
    if muxer is None:
        raise TargetError(
            f"target must end in {', '.join(MUXERS)}, got {target_path.name!r}; rename it"
        )
    if (settings.codec, muxer) == ("svtav1", "mov"):
        raise TargetError(f"AV1 is not written to .mov, got {target_path.name!r}; write .mp4")
    if not target_path.parent.is_dir():
        raise TargetError(f"folder of the target must exist, {target_path.parent} does not")
    if target_path.is_dir():
        raise TargetError(f"target must be a file, {target_path} is a folder")
    if target_path.exists() and clip_path.exists() and target_path.samefile(clip_path):
        raise TargetError(f"target must be another file than the clip, both are {target_path}")
    return muxer


def _check_count(settings: EncodeSettings, path: Path, num_frames: int) -> None:
    """Fails a file that has not one video packet for each frame."""
    with av.open(str(path.absolute())) as container:
        count = sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))
    if count != num_frames:
        raise EncodeError(
            f"frames must pair by index, {num_frames} went into "
            f"{ENCODERS[settings.codec].ffmpeg_name} and {count} are in the file",
            settings,
        )


@contextmanager
def _writing(target_path: Path) -> Iterator[None]:
    """Turns what goes wrong in writing into one line that names the target."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise TargetError(f"cannot write {target_path}: {error.strerror}") from error


def _close_quietly(output: OutputContainer) -> None:
    """Closes a file that is complete already, or stays incomplete."""
    with suppress(av.FFmpegError):
        output.close()


def _left_out(container: InputContainer, *, has_sound: bool) -> Iterator[str]:
    """Yields what of a clip does not come along, in words."""
    streams = container.streams
    if streams.audio and not has_sound:
        yield "sound left out, since the frame rate is another one"
    videos = [one for one in streams.video if not one.disposition & Disposition.attached_pic]
    if len(videos) > 1:
        yield f"further video streams left out ({len(videos) - 1})"
    if streams.data:
        yield f"data streams left out ({len(streams.data)})"
    if streams.attachments:
        yield f"attachments left out ({len(streams.attachments)})"
    if streams.subtitles:
        yield f"subtitles left out ({len(streams.subtitles)})"
    if container.chapters():
        yield f"chapters left out ({len(container.chapters())})"


class _Clock:
    """Gives the evenly spaced frames that the encoder sees the clip's own times back."""

    def __init__(self, reader: FrameReader, start_seconds: Fraction) -> None:
        """Begins.

        Args:
            start_seconds: When the clip starts, which becomes 0.
        """
        own = reader.time_base if reader.given_frame_rate is None else None
        self.time_base = own or 1 / reader.frame_rate
        self._has_own_times = own is not None
        self.frame_units = max(1, round(1 / (reader.frame_rate * self.time_base)))
        self._times: list[int] = []
        self._jumps: list[int] = []
        self._offset = -round(start_seconds / self.time_base)

    def add(self, timestamp: int | None) -> None:
        """Takes the time of the next frame.

        One that is missing or not later is made up; where times jump back, as where files were
        joined, they go on from there.
        """
        following = self._times[-1] + self.frame_units if self._times else 0
        if timestamp is None or not self._has_own_times:
            self._times.append(following)
            return
        time = timestamp + self._offset
        if self._times and time < self._times[-1] - self.frame_units:
            self._offset += following - time
            self._jumps.append(len(self._times))
            time = following
        self._times.append(max(time, self._times[-1] + 1) if self._times else time)

    @property
    def notes(self) -> list[str]:
        """What was made up, in words."""
        if not self._jumps:
            return []
        first, *others = self._jumps
        more = f" and {len(others)} more" if others else ""
        return [f"times jump back at frame {first}{more}; they go on from there"]

    def time(self, index: int) -> int:
        """Returns when a frame is shown; decoding starts some frames before the first one."""
        return self._times[index] if index >= 0 else self._times[0] + index * self.frame_units


class _File:
    """A file being written: encoder, clock, pictures and sound."""

    def __init__(
        self,
        settings: EncodeSettings,
        reader: FrameReader,
        clock: _Clock,
        output: OutputContainer,
        sound: Sound | None,
        target_path: Path,
        regions: ClipRegions | None,
        shots: Sequence[ShotCrf] | None,
    ) -> None:
        self.size_bytes = 0
        self.encode_seconds = 0.0
        self.notes: list[str] = []
        self._settings = settings
        self._reader = reader
        self._output = output
        self._sound = sound
        self._target_path = target_path
        self._clock = clock
        self._stream: VideoStream | None = None
        self._encoder: RegionEncoder | ShotEncoder | None = None
        self._regions = regions
        self._shots = shots

    def write(self, planes: Planes) -> None:
        """Encodes the reader's newest frame."""
        index = len(self._reader.timestamps) - 1
        self._clock.add(self._reader.timestamps[-1])
        self._stream = self._stream or self._start()
        assert self._encoder is not None
        here: Sequence[Region] = ()
        if self._regions is not None:
            # How many there are is known at the end; until then there must be one for each.
            num_frames = max(index + 1, len(self._regions.frames))
            self._regions.check_fit(self._reader.width, self._reader.height, num_frames)
            here = self._regions.frames[index]
        started = time.perf_counter()
        packets = self._encoder.encode(planes, index, here)
        self.encode_seconds += time.perf_counter() - started
        self._mux(packets)

    def finish(self) -> None:
        """Empties the encoder and writes the end of the file."""
        assert self._encoder is not None
        if self._regions is not None:
            num_frames = len(self._reader.timestamps)
            self._regions.check_fit(self._reader.width, self._reader.height, num_frames)
        started = time.perf_counter()
        packets = self._encoder.finish()
        self.encode_seconds += time.perf_counter() - started
        self._mux(packets)
        with _writing(self._target_path):
            if self._sound is not None:
                self._output.mux(list(self._sound.until(None)))
            self._output.close()

    def _start(self) -> VideoStream:
        """Adds the video stream; the reader knows the format by now."""
        codec, muxer = self._settings.codec, self._output.format.name
        name = ENCODERS[codec].ffmpeg_name
        stream = self._output.add_stream(name, rate=self._reader.frame_rate)
        assert isinstance(stream, VideoStream)
        stream.time_base = self._clock.time_base
        ratio = self._reader.sample_aspect_ratio
        if ratio is not None:
            ratio *= self._reshaped
            stream.codec_context.sample_aspect_ratio = ratio
            if (codec, muxer) == ("svtav1", "matroska") and ratio != 1:
                # AV1 itself has no pixel shape, and PyAV cannot set the container's.
                self.notes.append(f"pixel shape {ratio} left out; write .mp4 to keep it")
        if (codec, muxer) in _TAGS:
            stream.codec_context.codec_tag = _TAGS[codec, muxer]
        if self._shots is None:
            self._encoder = RegionEncoder(self._reader, self._settings, stream.codec_context)
        else:
            self._encoder = ShotEncoder(
                self._reader, self._settings, self._shots, stream.codec_context
            )
        if self._sound is not None:
            self._sound.attach(self._output)
        return stream

    @property
    def _reshaped(self) -> Fraction:
        """How much wider pixels are by scaling to an even width, as FFmpeg's filter has it."""
        reader, form = self._reader, scaled_format(self._reader, self._settings.height)
        return Fraction(reader.width * form.height, reader.height * form.width)

    def _mux(self, packets: Sequence[VideoPacket]) -> None:
        assert self._stream is not None
        for packet in packets:
            assert packet.pts is not None
            assert packet.dts is not None
            self.size_bytes += packet.size
            packet.pts, packet.dts = self._clock.time(packet.pts), self._clock.time(packet.dts)
            packet.duration = self._clock.frame_units
            packet.time_base, packet.stream = self._clock.time_base, self._stream
            with _writing(self._target_path):
                if self._sound is not None:
                    self._output.mux(list(self._sound.until(packet.dts * packet.time_base)))
                self._output.mux(packet)
