"""Copies the sound of a clip into another file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from .container import reason
from .errors import ClipError

AudioPacket: TypeAlias = "av.Packet[AudioStream]"

# What a container says that it takes, and then refuses.
_REFUSED = {"mov": frozenset({"flac", "opus", "truehd"}), "mp4": frozenset({"truehd"})}
# What cameras send and PyAV copies into few containers (G.711), and what it is decoded to there.
_DECODED, _PLAIN = frozenset({"pcm_alaw", "pcm_mulaw"}), "pcm_s16le"
# Sound of joined files overlaps by less than that; more is a jump back.
_JUMP_SECONDS = Fraction(1, 2)


def start_seconds(container: InputContainer) -> Fraction:
    """Returns when the first of pictures and sound is shown or heard; 0 where nobody says."""
    starts = [
        one.start_time * one.time_base
        for one in (*container.streams.video, *container.streams.audio)
        if one.start_time is not None and one.time_base is not None
    ]
    return min(starts, default=Fraction(0))


class Sound:
    """Sound packets of a clip, handed out in step with the pictures.

    Attributes:
        notes: What is left out, in words.
    """

    def __init__(self, container: InputContainer, path: Path) -> None:
        """Stores a clip that is opened for its sound alone."""
        self.notes: list[str] = []
        self._container = container
        self._path = path
        self._targets: dict[int, AudioStream] = {}
        self._decoded: set[int] = set()
        self._start_seconds = start_seconds(container)
        self._packets: Iterator[AudioPacket] = iter(())
        self._next: AudioPacket | None = None

    def attach(self, output: OutputContainer) -> None:
        """Adds a stream to the output for each sound stream that its container takes."""
        for stream in self._container.streams.audio:
            codec = "unknown codec" if stream.codec_context is None else stream.codec_context.name
            what = f"sound stream {stream.index} ({codec})"
            try:
                if stream.codec_context is None or codec in _REFUSED.get(output.format.name, ()):
                    raise ValueError(codec)
                target = output.add_stream_from_template(stream)
            except ValueError:
                if codec not in _DECODED:
                    self.notes.append(
                        f"{what} left out: it cannot be copied into {output.format.name}"
                    )
                    continue
                layout = stream.layout.name
                target = cast("AudioStream", output.add_stream(_PLAIN, stream.rate, layout=layout))
                self._decoded.add(stream.index)
                self.notes.append(f"{what} written as {_PLAIN}, which loses nothing")
            target.metadata.update(stream.metadata)
            target.disposition = stream.disposition
            self._targets[stream.index] = target
        self._packets = self._demux()
        self._next = next(self._packets, None)

    def until(self, seconds: Fraction | None) -> Iterator[AudioPacket]:
        """Yields the packets up to a time, or all that are left.

        Raises:
            ClipError: The clip cannot be read on.
        """
        while self._next is not None:
            packet = self._next
            if seconds is not None and (packet.dts or 0) * packet.time_base > seconds:
                return
            self._next = next(self._packets, None)
            target = self._targets[packet.stream_index]
            if packet.stream_index in self._decoded:
                for frame in packet.decode():
                    yield from target.encode(frame)
                continue
            packet.stream = target
            yield packet

    def _demux(self) -> Iterator[AudioPacket]:
        streams = [s for s in self._container.streams.audio if s.index in self._targets]
        if not streams:
            return
        offsets = {one.index: -round(self._start_seconds / (one.time_base or 1)) for one in streams}
        ends: dict[int, int] = {}
        hidden: dict[int, AudioPacket] = {}
        try:
            for packet in self._container.demux(streams):
                if packet.dts is None:
                    continue
                index = packet.stream_index
                time = packet.dts + offsets[index]
                if time < ends.get(index, time) - _JUMP_SECONDS / packet.time_base:
                    # As of the pictures: they go on from there.
                    offsets[index] += ends[index] - time
                packet.dts += offsets[index]
                if packet.pts is not None:
                    packet.pts += offsets[index]
                ends[index] = packet.dts + (packet.duration or 0)
                if packet.is_discard:
                    hidden[index] = cast("AudioPacket", packet)
                    continue
                if index in hidden:
                    # An edit list hides what comes before a cut; decoders need the last of it.
                    yield hidden.pop(index)
                yield cast("AudioPacket", packet)
        except av.FFmpegError as error:
            raise ClipError(f"sound of {self._path} cannot be read: {reason(error)}") from error
