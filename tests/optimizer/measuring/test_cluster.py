"""Measuring on a real Dask scheduler and real workers, one of which is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from distributed import Client
from ratesight.codecs.errors import EncodeError
from ratesight.codecs.settings import Bitrate, Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.metrics.detector import load_detector
from ratesight.optimizer.aim import QualityRange, TargetQuality
from ratesight.optimizer.commands.options import parse_worker_paths
from ratesight.optimizer.errors import ClusterError, RequestError
from ratesight.optimizer.events import Recommended, TrialFinished, TuneEvent
from ratesight.optimizer.measuring.bench import Bench
from ratesight.optimizer.measuring.cluster import Cluster, open_cluster
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machine_table import object_machine
from ratesight.optimizer.measuring.measure import StoppedError, open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.pareto.front import ParetoFront, pareto_events
from ratesight.optimizer.request import TuneRequest
from ratesight.optimizer.tune import tune_events

SETTINGS = EncodeSettings(codec="x264", preset="veryfast", rate_control=Crf(value=40))
NUM_TRIALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Farm:
    """A scheduler and its workers, as processes."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(json.loads(self.scheduler_file.read_text())["address"])

    @property
    def scheduler_file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def is_written(self) -> bool:
        """Whether the scheduler has written its file to the end: for a moment it is empty."""
        return self.scheduler_file.exists() and self.scheduler_file.read_text().endswith("}")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--scheduler-file", str(self.scheduler_file),
             "--no-dashboard", "--host", "127.0.0.1"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        # Without a nanny, which would start it again.
        return self.start("worker", "--nthreads", "1", "--no-nanny", "--name", name)


@contextmanager
def farm_in(folder: Path) -> Iterator[Farm]:
    farm = Farm(folder=folder)
    try:
        farm.start("scheduler", "--port", "0")
        wait_until(lambda: farm.is_written)
        yield farm
    finally:
        for process in farm.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm_in(tmp_path_factory.mktemp("farm")) as running:
        running.start_worker("steady")
        yield running


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 200
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def choice(weights: Path) -> MachineChoice:
    return MachineChoice(detector=str(weights), image_size=128)


@pytest.fixture(scope="module")
def here(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that workers know under another name, with a clip in it."""
    folder = tmp_path_factory.mktemp("here")
    shutil.copy(clips / "carphone_qcif.mp4", folder)
    return folder


@pytest.fixture(scope="module")
def bench(here: Path, choice: MachineChoice, weights: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        store = stack.enter_context(open_store(here / "s.sqlite"))
        source = stack.enter_context(load_source(here / "carphone_qcif.mp4", max_seconds=0.5))
        measurer = stack.enter_context(open_measurer(store, 2))
        machine = object_machine(load_detector(str(weights), image_size=128), choice)
        yield set_up_bench(
            source,
            machine,
            segments=source.whole,
            sample=[(2, 2), (8, 8), (13, 13)],
            annotations=None,
            regions=None,
            measurer=measurer,
        )


@pytest.fixture(scope="module")
def cluster(farm: Farm, choice: MachineChoice, clips: Path, here: Path) -> Iterator[Cluster]:
    with open_cluster(farm.address, choice, paths={str(here): str(clips)}) as opened:
        yield opened


def request_in(
    folder: Path, clips: Path, choice: MachineChoice, scheduler: str | None
) -> TuneRequest:
    return TuneRequest(
        clip=clips / "carphone_qcif.mp4",
        preset="veryfast",
        aim=TargetQuality(quality=0.9),
        machine=choice,
        num_trials=NUM_TRIALS,
        max_seconds=0.5,
        frames_per_second=10.0,
        num_jobs=2,
        tolerance=1.0,
        store=folder / "s.sqlite",
        scheduler=scheduler,
    )


def same_result(events: list[TuneEvent]) -> dict[str, object]:
    """What must not depend on where it was measured, with how often it was."""
    (recommended,) = [event for event in events if isinstance(event, Recommended)]
    fields: dict[str, object] = {**recommended.recommendation.to_json()}
    for name in ("seconds", "provenance"):
        del fields[name]
    for examined in (fields["winner"], fields["anchor"]):
        assert isinstance(examined, dict)
        del examined["encode_fps"]
    return fields


def stored(folder: Path) -> list[str]:
    """Keys of all measurements; each is there once."""
    with closing(sqlite3.connect(folder / "s.sqlite")) as connection:
        rows = connection.execute("SELECT key_json FROM results ORDER BY key_json").fetchall()
    return [key for (key,) in rows if json.loads(key)["kind"] == "measurement"]


def test_a_worker_killed_in_the_middle_changes_nothing(
    farm: Farm, clips: Path, choice: MachineChoice, tmp_path: Path
) -> None:
    local, many = tmp_path / "local", tmp_path / "many"
    expected = list(tune_events(request_in(local, clips, choice, None)))
    victim = farm.start_worker("victim")
    killed = threading.Event()

    with Client(farm.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=200)

        def kill_at_work() -> None:
            workers = client.scheduler_info()["workers"]
            (address,) = (one for one, about in workers.items() if about["name"] == "victim")
            # Stopped first, so that it surely is in the middle of something.
            os.kill(victim.pid, signal.SIGSTOP)
            wait_until(lambda: client.processing()[address])
            os.kill(victim.pid, signal.SIGKILL)
            killed.set()

        killer = threading.Thread(target=kill_at_work)
        events: list[TuneEvent] = []
        for event in tune_events(request_in(many, clips, choice, farm.address)):
            events.append(event)
            if isinstance(event, TrialFinished) and event.trial == 0:
                killer.start()
        killer.join()

    assert killed.is_set()
    trials = [event.trial for event in events if isinstance(event, TrialFinished)]
    assert trials == list(range(NUM_TRIALS))
    assert same_result(events) == same_result(expected)
    assert stored(many) == stored(local)


def test_a_front_is_the_same_on_workers(
    farm: Farm, choice: MachineChoice, clips: Path, tmp_path: Path
) -> None:
    def front(name: str, scheduler: str | None) -> ParetoFront:
        (tmp_path / name).mkdir()
        request = request_in(tmp_path / name, clips, choice, scheduler)
        aim = QualityRange(low=0.2, high=0.9, quality=0.6)
        *_, found = pareto_events(replace(request, aim=aim, num_trials=4))
        assert isinstance(found, ParetoFront)
        return found

    def num_steps() -> int:
        with Client(farm.address) as client:
            count = client.run_on_scheduler(
                lambda dask_scheduler: dask_scheduler.transition_counter
            )
        return int(count)

    here, before = front("here", None), num_steps()
    there = front("there", farm.address)

    assert num_steps() >= before + 4
    # Speed is measured, and differs; what that leaves on the front may too.
    assert [
        (one.settings, one.point and (one.point.rate_kbps, one.point.quality))
        for one in there.trials
    ] == [
        (one.settings, one.point and (one.point.rate_kbps, one.point.quality))
        for one in here.trials
    ]
    assert there.front
    assert all(one.verified.quality > 0 for one in there.front)


def test_files_may_have_another_path_on_the_workers(cluster: Cluster, bench: Bench) -> None:
    # The folder of this process is not the one that the worker is told.
    (measured,) = cluster.measure([bench], SETTINGS, threading.Event())

    own = bench.look(bench.encode(SETTINGS))
    assert measured.size_bytes == own.size_bytes
    assert measured.scores.quality == own.scores.quality


def test_a_failed_encode_is_a_result(cluster: Cluster, bench: Bench) -> None:
    # The library wants a period of intra frames when it keeps a bitrate.
    refused = EncodeSettings(
        codec="svtav1",
        preset="12",
        rate_control=Bitrate(rate_kbps=100),
        options=(("keyint", -1),),
    )

    with pytest.raises(EncodeError, match="libsvtav1 failed: Invalid argument") as caught:
        cluster.measure([bench], refused, threading.Event())

    assert caught.value.settings == refused
    assert "bad parameter" in caught.value.log[-1]


def test_a_worker_without_the_clip_says_so(farm: Farm, choice: MachineChoice, bench: Bench) -> None:
    paths = {str(bench.source.path.parent): "/no/such/folder"}
    with (
        open_cluster(farm.address, choice, paths=paths) as cluster,
        pytest.raises(ClusterError, match=r"worker tcp://.*: .* /no/such/folder/carphone"),
    ):
        cluster.measure([bench], SETTINGS, threading.Event())


def test_a_run_that_is_given_up_waits_for_no_worker(cluster: Cluster, bench: Bench) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(StoppedError):
        cluster.measure([bench], SETTINGS, stop)


def test_without_workers_or_scheduler_it_ends_in_one_line(
    choice: MachineChoice, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By itself Dask gives a task up when it has seen four workers end in it.
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    with farm_in(tmp_path) as farm:
        address, worker = farm.address, farm.start_worker("only")
        with open_cluster(address, choice, patience_seconds=200) as cluster:

            def measure_until(busy: Callable[[], object], then: Callable[[], None]) -> None:
                def wait() -> None:
                    wait_until(busy)
                    then()

                waiting = threading.Thread(target=wait)
                waiting.start()
                try:
                    cluster.measure([bench], SETTINGS, threading.Event())
                finally:
                    waiting.join()

            assert cluster.num_threads == 1
            os.kill(worker.pid, signal.SIGSTOP)
            with pytest.raises(ClusterError, match=r"one worker after the other .*crf=40.*memory"):
                measure_until(lambda: any(cluster.client.processing().values()), worker.kill)

            cluster.patience_seconds = 0.5
            with pytest.raises(ClusterError, match=r"a worker, .* has had none for 0\.5 s"):
                cluster.measure([bench], SETTINGS, threading.Event())

            cluster.patience_seconds = 200
            with pytest.raises(ClusterError, match="scheduler must stay reachable"):
                measure_until(lambda: True, farm.processes[0].kill)

    with (
        pytest.raises(ClusterError, match=rf"scheduler must be .* answers, .* got {address}"),
        open_cluster(address, choice, patience_seconds=1),
    ):
        pass


def test_an_address_without_a_port_is_one_line(clips: Path, tmp_path: Path) -> None:
    words = ["tune", str(clips / "carphone_qcif.mp4"), "--scheduler", "tcp://127.0.0.1"]
    done = subprocess.run(
        [sys.executable, "-m", "ratesight", *words, "--store", str(tmp_path / "s.sqlite")],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert "such as tcp://host:8786, got tcp://127.0.0.1: " in done.stderr
    assert "\n" not in done.stderr.strip()


def test_paths_on_the_workers_are_read() -> None:
    assert parse_worker_paths(["/mnt/clips=https://host/clips?a=b", "weights=/w"]) == {
        "/mnt/clips": "https://host/clips?a=b",
        "weights": "/w",
    }
    with pytest.raises(RequestError, match=r"worker_path must be like /here=/there, got '/here'"):
        parse_worker_paths(["/here"])


def test_without_dask_it_says_what_to_install(
    clips: Path, choice: MachineChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "ratesight.optimizer.measuring.cluster")

    with pytest.raises(RequestError, match=r"pip install distributed"):
        next(iter(tune_events(request_in(tmp_path, clips, choice, "tcp://127.0.0.1:1"))))
