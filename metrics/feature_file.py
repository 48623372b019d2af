"""Features of originals on disk: a long clip's are more than fits into memory."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import FeatureFileError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where the arrays of one picture lie.

    Attributes:
        offset: In bytes.
        forms: Type and shape of each array, one behind the other.
    """

    offset: int
    forms: tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]


@dataclass(slots=True, kw_only=True)
class FeatureFile:
    """A scratch file that has no name and goes with the process; safe to use from several threads.

    Read and not mapped: a mapping each would be hundreds of file descriptors.
    """

    file: FileIO
    num_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, arrays: Sequence[Array]) -> Kept:
        """Writes arrays.

        Raises:
            FeatureFileError: The disk is full.
        """
        rest = memoryview(b"".join(one.tobytes() for one in arrays))
        with self.lock:
            kept = Kept(
                offset=self.num_bytes, forms=tuple((one.dtype, one.shape) for one in arrays)
            )
            self.num_bytes += len(rest)
            self.file.seek(kept.offset)
            try:
                while rest:  # a full disk takes a part first
                    rest = rest[self.file.write(rest) :]
            except OSError as error:
                raise FeatureFileError(
                    f"disk full: {tempfile.gettempdir()} has no room for the features of the "
                    f"original; set TMPDIR to a larger disk or give --max-seconds"
                ) from error
        return kept

    def read(self, kept: Kept) -> list[Array]:
        """Returns arrays that were kept."""
        arrays = [np.empty(shape, dtype) for dtype, shape in kept.forms]
        with self.lock:
            self.file.seek(kept.offset)
            for one in arrays:
                self.file.readinto(one.data)
        return arrays

    def clear(self) -> None:
        """Forgets all that was kept, and gives its space back."""
        with self.lock:
            self.file.truncate(0)
            self.num_bytes = 0


@contextmanager
def open_feature_file() -> Iterator[FeatureFile]:
    """Opens an empty file.

    Raises:
        FeatureFileError: There is no folder for it.
    """
    with _new_file() as file:
        yield FeatureFile(file=file)


def _new_file() -> FileIO:
    try:
        return tempfile.TemporaryFile(prefix="ratesight-", buffering=0)
    except OSError as error:
        raise FeatureFileError(
            f"no file for the features of the original: {error}; set TMPDIR to a folder that can "
            f"be written"
        ) from error
