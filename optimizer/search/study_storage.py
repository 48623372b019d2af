"""Where studies are kept, for optuna-dashboard: a journal file, or a database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage

from ..errors import RequestError, StoreError
from .journal import JournalLock, open_journal

# What Optuna raises on a journal that is not one, or whose last line a full disk cut short.
_JOURNAL_ERRORS = (OSError, ValueError, KeyError, TypeError)
# What it raises on a database that does not answer, or holds tables of another version.
_DATABASE_ERRORS = (
    sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError,
)  # fmt: skip
_STORAGE_ERRORS = (*_JOURNAL_ERRORS, *_DATABASE_ERRORS)
_CONNECT_SECONDS = 10
# Two runs that start at once on an empty database both make its tables; one of them succeeds.
_TABLE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStorage:
    """Where finished trials are kept, for ``optuna-dashboard``.

    Attributes:
        place: File of a journal, or URL of a database without its password.
        lock: Held from looking what is there to adding to it.
    """

    place: Path | str
    storage: BaseStorage
    lock: AbstractContextManager[None] = field(default_factory=nullcontext)

    def study(self, name: str, directions: Sequence[optuna.study.StudyDirection]) -> optuna.Study:
        """Opens or creates a study.

        Raises:
            StoreError: The storage does not answer, or is damaged.
        """
        try:
            with self.lock:
                return optuna.create_study(
                    storage=self.storage,
                    study_name=name,
                    load_if_exists=True,
                    directions=directions,
                )
        except _STORAGE_ERRORS as error:
            raise _storage_error(self.place, error) from error

    def keep(
        self, live: optuna.Study, kept: optuna.Study, finished: optuna.trial.FrozenTrial
    ) -> None:
        """Copies a finished trial, unless an earlier start of the same run has done so.

        Raises:
            StoreError: The storage cannot be written, or is damaged.
        """
        num_told = sum(trial.state.is_finished() for trial in live.get_trials(deepcopy=False))
        try:
            with self.lock:
                if num_told > len(kept.get_trials(deepcopy=False)):
                    kept.add_trial(finished)
        except _STORAGE_ERRORS as error:
            raise _storage_error(self.place, error) from error


def open_storage(place: Path | str) -> StudyStorage:
    """Opens or creates the storage of studies.

    Args:
        place: File of Optuna's journal storage, or the URL of a database that SQLAlchemy knows.

    Raises:
        RequestError: The URL is none, or its driver is not installed.
        StoreError: The storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if isinstance(place, str):
        return _open_database(place)
    try:
        lock = JournalLock(path=place)
        return StudyStorage(place=place, storage=open_journal(place, lock), lock=lock)
    except _JOURNAL_ERRORS as error:
        raise _storage_error(place, error) from error


def _open_database(text: str) -> StudyStorage:
    try:
        url = sqlalchemy.make_url(text)
        if url.drivername == "postgresql":
            # The driver that our optional group brings; SQLAlchemy before 2.1 meant another.
            url = url.set(drivername="postgresql+psycopg")
        url.get_dialect().import_dbapi()
    except sqlalchemy.exc.ArgumentError as error:
        raise RequestError(
            f"study_storage must be a URL that SQLAlchemy knows, such as "
            f"postgresql://user:password@host/database: {_first_line(error)}"
        ) from error
    except ImportError as error:
        raise RequestError(
            f"study_storage {url.drivername}:// needs a driver that is not installed, "
            f"{error.name}; for PostgreSQL: pip install psycopg[binary]"
        ) from error
    shown = url.render_as_string(hide_password=True)
    timeout = {"connect_timeout": _CONNECT_SECONDS} if url.drivername.startswith("postgres") else {}
    for attempt in range(_TABLE_ATTEMPTS):
        try:
            storage = RDBStorage(
                url.render_as_string(hide_password=False),
                # Trials are minutes apart: a connection kept open between them would only break,
                # and many runs would use up what the server has.
                engine_kwargs={"poolclass": sqlalchemy.pool.NullPool, "connect_args": timeout},
            )
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as error:
            if attempt + 1 == _TABLE_ATTEMPTS:
                raise _storage_error(shown, error) from error
        except _STORAGE_ERRORS as error:
            raise _storage_error(shown, error) from error
        else:
            break
    return StudyStorage(place=shown, storage=storage)


def _storage_error(place: Path | str, error: Exception) -> StoreError:
    if isinstance(place, Path):
        return StoreError(
            f"the study's journal must be a writable file of ours, {place}: "
            f"{type(error).__name__} {error}; no result is lost with it, remove it or give another "
            f"--store"
        )
    # Optuna says little of what went wrong, and what the driver said is below.
    cause = error.__cause__ or error
    reason = getattr(cause, "orig", None) or cause
    return StoreError(
        f"the study's storage must be a database that answers and may be written, {place}: "
        f"{_first_line(reason)}; what was measured is kept, start the same command again when it "
        f"is back, or without --study-storage"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
