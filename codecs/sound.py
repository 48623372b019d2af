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
        self._packets: Iterator[AudioPacket] = iter(())
        self._next: AudioPacket | None = None

    def attach(self, output: OutputContainer) -> None:
        """Adds a stream to the output for each sound stream that its container takes."""
        for stream in self._container.streams.audio:
            codec = "unknown codec" if stream.codec_context is None else stream.codec_context.name
            try:
                if stream.codec_context is None:
                    raise ValueError(codec)
                target = output.add_stream_from_template(stream)
            except ValueError:
                self.notes.append(
                    f"sound stream {stream.index} ({codec}) left out, "
                    f"{output.format.name} does not take it"
                )
                continue
            target.metadata.update(stream.metadata)
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
            packet.stream = self._targets[packet.stream_index]
            yield packet

    def _demux(self) -> Iterator[AudioPacket]:
        streams = [s for s in self._container.streams.audio if s.index in self._targets]
        if not streams:
            return
        try:
            for packet in self._container.demux(streams):
                if packet.dts is not None:
                    yield cast("AudioPacket", packet)
        except av.FFmpegError as error:
            raise ClipError(f"sound of {self._path} cannot be read: {reason(error)}") from error
