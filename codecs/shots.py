"""The shots of a clip, each encoded as a stream of its own, and their streams joined again."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from .container import VideoPacket
from .encode import Encoding, rate_kbps
from .encoder import video_context
from .errors import EncodeError, SettingsError
from .picture_filter import PictureFilter
from .planes import FrameFormat, Planes
from .region import Region
from .region_encoder import RegionEncoder
from .settings import Crf, EncodeSettings, sorted_options
from .source import Segment, Source
from .table import ENCODERS

# Of FFmpeg's scdet, in percent of the range of a sample; its own default is 10. On titles made of
# real clips of 14 scenes it finds 105 of 105 cuts at 7, 103 at 10; within a shot of these clips no
# frame scores above 4. PySceneDetect's detectors find 101 to 105 in ten times the time or more.
_CUT_SCORE = 7.0
# A shorter shot is too few frames to measure, and its key frame costs more than it could save.
# x264 reorders nothing in one or two frames: beside longer streams these cannot be joined.
_MIN_SECONDS, _MIN_FRAMES = Fraction(1, 2), Fraction(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotCrf:
    """A shot and the CRF that it is encoded with."""

    start_frame: int
    num_frames: int
    crf: float

    @property
    def segment(self) -> Segment:
        """The frames of the shot."""
        return Segment(start_frame=self.start_frame, num_frames=self.num_frames)


def find_shots(source: Source) -> tuple[Segment, ...]:
    """Returns the shots of a source, in order, without a gap: all of it where there is no cut.

    FFmpeg's scdet: a cut is where the mean difference to the frame before is large, and much
    larger than one frame earlier. Shots of less than half a second, or three frames, are joined to
    a neighbour.
    """
    cuts = {index: score for index, score in enumerate(_cut_scores(source)) if score >= _CUT_SCORE}
    min_frames = max(source.frame_rate * _MIN_SECONDS, _MIN_FRAMES)
    return shots_between(cuts, source.num_frames, min_frames)


def _cut_scores(source: Source) -> list[float]:
    """Returns how surely a shot begins with each frame, in [0, 100]."""
    cuts = PictureFilter(("scdet", ""))
    return [
        float(cuts.apply(source.frame(index)).metadata["lavfi.scd.score"])
        for index in range(source.num_frames)
    ]


def shots_between(
    cuts: Mapping[int, float], num_frames: int, min_frames: Fraction | float
) -> tuple[Segment, ...]:
    """Returns the shots between cuts, without cuts that leave too short a shot.

    Args:
        cuts: From the first frame of a shot to how surely it is one.
    """
    kept = {index: score for index, score in cuts.items() if 0 < index < num_frames}
    while True:
        bounds = [0, *sorted(kept), num_frames]
        lengths = [after - before for before, after in itertools.pairwise(bounds)]
        shortest = lengths.index(min(lengths))
        if not kept or lengths[shortest] >= min_frames:
            break
        # It goes to the neighbour that it differs from less.
        ends = [index for index in bounds[shortest : shortest + 2] if index in kept]
        del kept[min(ends, key=lambda index: kept[index])]
    return tuple(
        Segment(start_frame=start, num_frames=length)
        for start, length in zip(bounds, lengths, strict=False)
    )


def joinable(settings: EncodeSettings) -> EncodeSettings:
    """Returns settings whose streams have equal headers at any CRF, so that they can be joined."""
    options = {**dict(settings.options), **dict(ENCODERS[settings.codec].join_options)}
    return replace(settings, options=sorted_options(options))


def join(encodings: Sequence[Encoding], frame_rate: Fraction) -> Encoding:
    """Returns the encodes of consecutive shots as one encode of all of them.

    Its settings are those of the first, whose CRF is that of the first shot only.
    """
    num_frames = sum(one.num_frames for one in encodings)
    size_bytes = sum(one.size_bytes for one in encodings)
    return replace(
        encodings[0],
        streams=tuple(stream for one in encodings for stream in one.streams),
        num_frames=num_frames,
        size_bytes=size_bytes,
        rate_kbps=rate_kbps(size_bytes, num_frames, frame_rate),
        encode_seconds=sum(one.encode_seconds for one in encodings),
    )


class ShotEncoder:
    """Encodes a clip shot by shot into the packets of one stream.

    Each shot starts with a key frame and refers to no other one. The headers are equal, so that
    they stand once, in the container.
    """

    def __init__(
        self,
        form: FrameFormat,
        settings: EncodeSettings,
        shots: Sequence[ShotCrf],
        context: VideoCodecContext,
    ) -> None:
        """Prepares the encoder of the first shot.

        Args:
            form: What the frames are like.
            settings: Of all shots, but for the CRF; without regions of interest.
            shots: All of the clip, in order.
            context: Of the container's stream, which takes its headers from it.

        Raises:
            SettingsError: The shots do not follow each other, or the settings have regions.
        """
        ends = [shot.start_frame + shot.num_frames for shot in shots]
        if not shots or [shot.start_frame for shot in shots] != [0, *ends[:-1]]:
            raise SettingsError("shots must start at frame 0 and follow each other without a gap")
        if settings.regions is not None:
            raise SettingsError("shots must be encoded without regions of interest, got roi=1")
        self._form, self._settings, self._shots = form, joinable(settings), shots
        self._first = self._context = context
        self._number = self._num_frames = 0
        self._running = self._start(context)

    def encode(
        self, planes: Planes, index: int, regions: Sequence[Region] = ()
    ) -> list[VideoPacket]:
        """Returns the packets that are ready after a frame of the clip, as of RegionEncoder.

        Raises:
            EncodeError: The encoder failed.
            SettingsError: There is a frame behind the last shot.
        """
        packets = []
        self._num_frames = index + 1
        shot = self._shots[self._number]
        if index == shot.start_frame + shot.num_frames:
            packets = self._end()
            self._number += 1
            if self._number == len(self._shots):
                raise SettingsError(self._wrong_length("more"))
            name = ENCODERS[self._settings.codec].ffmpeg_name
            self._context = video_context(name, "w")
            self._context.flags |= self._first.flags & Flags.global_header
            if self._first.sample_aspect_ratio is not None:
                self._context.sample_aspect_ratio = self._first.sample_aspect_ratio
            self._running = self._start(self._context)
            shot = self._shots[self._number]
        found = self._running.encode(planes, index - shot.start_frame, regions)
        return packets + self._moved(found)

    def finish(self) -> list[VideoPacket]:
        """Ends the last shot and returns its last packets.

        Raises:
            SettingsError: There are fewer frames than the shots have.
        """
        shot = self._shots[-1]
        if self._num_frames != shot.start_frame + shot.num_frames:
            raise SettingsError(self._wrong_length(str(self._num_frames)))
        return self._end()

    def _start(self, context: VideoCodecContext) -> RegionEncoder:
        crf = Crf(value=self._shots[self._number].crf)
        return RegionEncoder(self._form, self._settings.at(crf), context)

    def _end(self) -> list[VideoPacket]:
        packets = self._moved(self._running.finish())
        if self._context.extradata != self._first.extradata:
            name = ENCODERS[self._settings.codec].ffmpeg_name
            raise EncodeError(
                f"{name} must give all shots one header, shot {self._number} has its own",
                self._settings,
            )
        return packets

    def _moved(self, packets: list[VideoPacket]) -> list[VideoPacket]:
        """Returns packets with the times that they have in the clip."""
        start = self._shots[self._number].start_frame
        for packet in packets:
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts, packet.dts = packet.pts + start, packet.dts + start
        return packets

    def _wrong_length(self, got: str) -> str:
        last = self._shots[-1]
        return (
            f"clip must have the {last.start_frame + last.num_frames} frames that its shots were "
            f"found on, got {got}; tune this clip, or encode it with --one-crf"
        )
