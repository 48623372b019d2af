"""The journal of studies: Optuna's file, whole after any kill, and shared by runs at once."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend


@dataclass(slots=True, kw_only=True)
class JournalLock:
    """A lock on a journal that its holder may take again, and that the kernel takes from the dead.

    Optuna's own are files of their own: a run that is killed leaves one behind, and the next waits
    half a minute for it.
    """

    path: Path
    thread: threading.RLock = field(default_factory=threading.RLock)
    held: ExitStack = field(default_factory=ExitStack)
    depth: int = 0

    def acquire(self) -> bool:
        """Waits until no other run and no other thread has the journal."""
        self.thread.acquire()
        if self.depth == 0:
            try:
                file = self.held.enter_context(self.path.open("ab"))
                fcntl.flock(file, fcntl.LOCK_EX)
            except BaseException:
                self.held.close()
                self.thread.release()
                raise
        self.depth += 1
        return True

    def release(self) -> None:
        """Lets others go on."""
        self.depth -= 1
        if self.depth == 0:
            self.held.close()
        self.thread.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def open_journal(path: Path, lock: JournalLock) -> JournalStorage:
    """Opens or creates a journal; what a killed run left of its last line is cut off.

    Optuna would append to that line, and could not read any of what comes after.

    Raises:
        OSError: It cannot be written.
        ValueError, KeyError, TypeError: It is none of Optuna's.
    """
    with lock:
        _cut_half_line(path)
        # Optuna does not export the class that its locks derive from.
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))  # type: ignore[arg-type]


def _cut_half_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        content = file.read()
        if not content.startswith(b"{"):
            raise ValueError("it is no journal of Optuna's")
        file.truncate(content.rfind(b"\n") + 1)
