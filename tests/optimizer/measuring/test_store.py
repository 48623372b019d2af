"""The store: what is measured once is kept, whoever writes beside."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ratesight.optimizer.errors import StoreError
from ratesight.optimizer.measuring.store import Json, canonical, key_sha256, open_store

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

# Without the fix four stores in a hundred were locked.
MAKERS = """
import multiprocessing
import pathlib
import sys
from ratesight.optimizer.measuring.store import open_store

def make(barrier):
    for number in range(300):
        barrier.wait()
        with open_store(pathlib.Path(sys.argv[1]) / str(number)):
            pass

fork = multiprocessing.get_context("fork")
barrier = fork.Barrier(4, timeout=60)
makers = [fork.Process(target=make, args=(barrier,)) for _ in range(4)]
for one in makers:
    one.start()
for one in makers:
    one.join()
sys.exit(any(one.exitcode for one in makers))
"""
WRITER = """
import sys
from pathlib import Path
from ratesight.optimizer.measuring.store import open_store
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    with open_store(path) as store:
        store.put({"writer": name, "number": number}, number)
        store.put({"shared": number}, name)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def rows(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT key_json, value_json FROM results").fetchall()
    finally:
        connection.close()


@settings(max_examples=50)
@given(json_values, json_values)
def test_what_is_put_is_got(key: Json, value: Json) -> None:
    with open_store(Path(":memory:")) as store:
        assert store.get(key) is None
        store.put(key, value)
        assert store.get(key) == value


def test_it_is_still_there_after_closing(path: Path) -> None:
    with open_store(path) as store:
        store.put({"b": 1, "a": [1.5, None]}, {"x": "ü"})

    with open_store(path) as store:
        assert store.get({"a": [1.5, None], "b": 1}) == {"x": "ü"}
    assert rows(path) == [('{"a":[1.5,null],"b":1}', '{"x":"\\u00fc"}')]


def test_the_first_value_stays(path: Path) -> None:
    with open_store(path) as store:
        store.put("key", 1)
        store.put("key", 2)

        assert store.get("key") == 1
    assert len(rows(path)) == 1


def test_keys_that_differ_a_little_are_others(path: Path) -> None:
    keys: list[Json] = [{"crf": 20}, {"crf": 20.5}, {"crf": "20"}, {"crf": 20, "x": None}, "crf"]
    with open_store(path) as store:
        for number, key in enumerate(keys):
            store.put(key, number)

        assert [store.get(key) for key in keys] == list(range(len(keys)))
    assert len({key_sha256(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"quality": math.nan}])
def test_what_is_no_number_is_refused(path: Path, value: Json) -> None:
    with open_store(path) as store:
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.put("key", value)
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.get({"key": value})

        assert store.get("key") is None


def test_one_value_has_one_spelling() -> None:
    assert canonical({"b": 1, "a": [True, 2.0]}) == '{"a":[true,2.0],"b":1}'


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "store.sqlite"

    with open_store(path) as store:
        store.put("key", 1)

    assert path.is_file()


def test_two_connections_see_each_other(path: Path) -> None:
    with open_store(path) as one, open_store(path) as other:
        one.put("key", 1)
        assert other.get("key") == 1
        other.put("key", 2)
        other.put("more", 3)
        assert [one.get("key"), one.get("more")] == [1, 3]


def test_threads_share_a_store(path: Path) -> None:
    with open_store(path) as store, ThreadPoolExecutor(8) as pool:

        def work(number: int) -> Json:
            store.put({"number": number % 50}, number % 50)
            return store.get({"number": number % 50})

        assert list(pool.map(work, range(200))) == [number % 50 for number in range(200)]
    assert len(rows(path)) == 50


def test_processes_share_a_store_and_lose_nothing(path: Path) -> None:
    count, names = 40, ["a", "b", "c"]

    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(count)], stderr=subprocess.PIPE
        )
        for name in names
    ]

    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    with open_store(path) as store:
        for number in range(count):
            assert store.get({"shared": number}) in names
            for name in names:
                assert store.get({"writer": name, "number": number}) == number
    assert len(rows(path)) == count * (len(names) + 1)


def test_a_write_waits_for_another_writer(path: Path) -> None:
    with open_store(path) as store, ThreadPoolExecutor(1) as pool:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(store.put, "key", 1)
        assert not waiting.done()
        other.execute("COMMIT")
        other.close()

        waiting.result(timeout=30)
        assert store.get("key") == 1


def test_processes_make_a_store_at_the_same_moment(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAKERS, str(tmp_path)], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr


def test_a_row_is_there_before_the_store_is_closed(path: Path) -> None:
    with open_store(path) as store:
        store.put("key", 1)

        assert rows(path) == [('"key"', "1")]


@pytest.mark.parametrize("content", [b"this is no database, " * 50, bytes(range(256)) * 20])
def test_a_file_that_is_no_store_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with (
        pytest.raises(StoreError, match=r"file of ours, .*store\.sqlite: .*give another one"),
        open_store(path),
    ):
        pass

    assert path.read_bytes() == content


def test_a_database_of_another_kind_is_refused_and_kept(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE results (something TEXT)")
    connection.execute("INSERT INTO results VALUES ('else')")
    connection.commit()
    connection.close()

    with open_store(path) as store, pytest.raises(StoreError, match="SQLite file of ours"):
        store.get("key")
    with open_store(path) as store, pytest.raises(StoreError, match="SQLite file of ours"):
        store.put("key", 1)

    connection = sqlite3.connect(path)
    assert connection.execute("SELECT * FROM results").fetchall() == [("else",)]
    connection.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.sqlite").mkdir()

    for path in (tmp_path / "file" / "store.sqlite", tmp_path / "folder.sqlite"):
        with pytest.raises(StoreError, match=f"SQLite file of ours, {path}"), open_store(path):
            pass
