"""The store of measurements: one SQLite file, nothing is measured twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypeAliasType

from ..errors import StoreError

# By name, so that pydantic can follow it; Python 3.11 has no ``type`` statement.
Json = TypeAliasType("Json", "bool | int | float | str | list[Json] | dict[str, Json] | None")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
    key_sha256 TEXT PRIMARY KEY,
    key_json TEXT NOT NULL,
    value_json TEXT NOT NULL,
    created_utc TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""

# Another run on the same store may be writing; it never holds the lock for long.
_LOCK_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Results by the complete description of what produced them.

    A row is committed as soon as it is there: a run that is killed loses nothing finished. May be
    used from several threads.
    """

    path: Path
    connection: sqlite3.Connection
    lock: threading.Lock

    def get(self, key: Json) -> Json:
        """Returns the stored value of a key, None where there is none."""
        with _sqlite_errors(self.path), self.lock:
            row = self.connection.execute(
                "SELECT value_json FROM results WHERE key_sha256 = ?", (key_sha256(key),)
            ).fetchone()
        value: Json = None if row is None else json.loads(row[0])
        return value

    def put(self, key: Json, value: Json) -> None:
        """Stores a value; a value that is there already stays."""
        row = (key_sha256(key), canonical(key), canonical(value))
        with _sqlite_errors(self.path), self.lock, self.connection:
            self.connection.execute(
                "INSERT OR IGNORE INTO results (key_sha256, key_json, value_json) VALUES (?, ?, ?)",
                row,
            )

    def replace(self, key: Json, value: Json) -> None:
        """Stores a value in place of the one that is there; it counts as new."""
        row = (key_sha256(key), canonical(key), canonical(value))
        with _sqlite_errors(self.path), self.lock, self.connection:
            self.connection.execute(
                "INSERT OR REPLACE INTO results (key_sha256, key_json, value_json) "
                "VALUES (?, ?, ?)",
                row,
            )

    def of_kind(self, kind: str) -> list[tuple[Json, Json]]:
        """Returns (key, value) of all that is stored under keys of a kind, oldest first."""
        with _sqlite_errors(self.path), self.lock:
            rows = self.connection.execute(
                "SELECT key_json, value_json FROM results "
                "WHERE json_extract(key_json, '$.kind') = ? ORDER BY rowid",
                (kind,),
            ).fetchall()
        return [(json.loads(key), json.loads(value)) for key, value in rows]


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Opens or creates the store.

    Raises:
        StoreError: The file is not a store, or its folder cannot be written.
    """
    with _sqlite_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, check_same_thread=False)
        try:
            _prepare(connection)
        except sqlite3.Error:
            connection.close()
            raise
    try:
        yield Store(path=path, connection=connection, lock=threading.Lock())
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection) -> None:
    """Makes a new file a store; one that is a store already stays as it is.

    SQLite does not wait by itself where another process does the same at the same moment.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            # A reader never waits for a writer, and a commit survives kill -9.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_SCHEMA)
            connection.commit()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"store must be a writable SQLite file of ours, {path}: {error}; "
            f"what it holds is kept, give another one"
        ) from error


def canonical(value: Json) -> str:
    """Returns JSON with one spelling for one value; refuses NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_sha256(key: Json) -> str:
    """Returns the hash that a key is stored under."""
    return hashlib.sha256(canonical(key).encode()).hexdigest()
