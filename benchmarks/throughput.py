"""Times measurements against the bare encodes of the same settings, here and on Dask workers.

``python -m benchmarks.throughput --data ../shared/data`` takes some minutes and goes on where it
was stopped. The machine may do other things too: all ways are timed one after the other in each
round, and only their ratios within a round count. Seconds of processor time, of this process or of
the workers, hardly depend on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from psutil import Process
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.codecs.table import ENCODERS, Codec
from ratesight.metrics.detector import load_detector
from ratesight.optimizer.measuring.bench import Bench, sampled_frames
from ratesight.optimizer.measuring.cluster import open_cluster
from ratesight.optimizer.measuring.machine_choice import MachineChoice
from ratesight.optimizer.measuring.machine_table import object_machine
from ratesight.optimizer.measuring.measure import Measurer, open_measurer
from ratesight.optimizer.measuring.set_up import set_up_bench
from ratesight.optimizer.measuring.store import open_store

from .machine import describe_machine
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "throughput.json"
_CLIP, _SECONDS = "street_people_720p.mp4", 1.0
_CODECS: tuple[Codec, ...] = ("x264", "x265")
# As a search goes through them: different settings take different times.
_CRFS = (24, 28, 32, 36)
# Five frames a second are what a search looks at; one makes a cheap metric of a detector.
_FRAMES_PER_SECOND = (1.0, 5.0)
_ROUNDS = 3


def main() -> None:
    """Times what is missing in the results, round by round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    clip = arguments.data / "clips" / _CLIP
    weights = str(arguments.data / "weights" / "yolov8n.pt")
    rounds = json.loads(RESULTS.read_text())["rounds"] if RESULTS.exists() else []
    with ExitStack() as stack:
        source = stack.enter_context(load_source(clip, max_seconds=_SECONDS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(open_store(folder / "s.sqlite"))
        choice = MachineChoice(detector=weights)
        machine = object_machine(load_detector(weights), choice)
        address = stack.enter_context(_workers(folder))
        cluster = stack.enter_context(open_cluster(address, choice))
        here = stack.enter_context(open_measurer(store, 2))
        cluster.client.wait_for_workers(2)
        there = stack.enter_context(open_measurer(store, 2, cluster))
        pools = {jobs: stack.enter_context(ThreadPoolExecutor(jobs)) for jobs in (1, 2)}
        benches = {
            rate: set_up_bench(
                source,
                machine,
                segments=source.whole,
                sample=sampled_frames(source, source.whole, rate, phase=0),
                annotations=None,
                regions=None,
                measurer=here,
            )
            for rate in _FRAMES_PER_SECOND
        }
        workers = [Process(pid) for pid in cluster.client.run(os.getpid).values()]
        ways = list(_ways(benches, pools, here, there, workers))
        for codec in _CODECS:
            settings = [_settings(codec, crf) for crf in _CRFS]
            num_done = sum(one["codec"] == codec for one in rounds)
            if num_done < _ROUNDS:
                _round(settings[-2:], ways)  # loads what each thread and worker loads once
            for _ in range(num_done, _ROUNDS):
                rounds.append({"codec": codec, **_round(settings, ways)})
                content = {
                    "machine": describe_machine(),
                    "clip": _CLIP,
                    "seconds": _SECONDS,
                    "encodes": len(settings),
                    "rounds": rounds,
                }
                write_results(content, RESULTS)
                print(json.dumps(rounds[-1]), flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to go through the settings.

    Attributes:
        processes: Where the work is done.
    """

    name: str
    pool: ThreadPoolExecutor
    work: Callable[[EncodeSettings], object]
    processes: Sequence[Process]


def _ways(
    benches: dict[float, Bench],
    pools: dict[int, ThreadPoolExecutor],
    here: Measurer,
    there: Measurer,
    workers: Sequence[Process],
) -> Iterator[_Way]:
    us = [Process()]
    any_bench = next(iter(benches.values()))
    for jobs, pool in pools.items():
        yield _Way(name=f"encode, {jobs} jobs", pool=pool, work=any_bench.encode, processes=us)
        for rate, bench in benches.items():
            name = f"measure at {rate:g} fps, {jobs}"
            local = _measure_with(here, bench)
            yield _Way(name=f"{name} jobs", pool=pool, work=local, processes=us)
            if jobs == len(workers):
                remote = _measure_with(there, bench)
                yield _Way(name=f"{name} workers", pool=pool, work=remote, processes=workers)


def _round(settings: list[EncodeSettings], ways: Sequence[_Way]) -> dict[str, dict[str, float]]:
    """Returns seconds of all settings by each way: of the clock, and of the processor."""
    wall, processor = {}, {}
    for way in ways:
        before = sum(_processor_seconds(one) for one in way.processes)
        started = time.perf_counter()
        list(way.pool.map(way.work, settings))
        wall[way.name] = time.perf_counter() - started
        processor[way.name] = sum(_processor_seconds(one) for one in way.processes) - before
    return {"wall_seconds": wall, "processor_seconds": processor}


def _processor_seconds(process: Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _measure_with(measurer: Measurer, bench: Bench) -> Callable[[EncodeSettings], object]:
    return lambda settings: measurer.measure_afresh([bench], settings)


def _settings(codec: Codec, crf: float) -> EncodeSettings:
    return EncodeSettings(
        codec=codec, preset=ENCODERS[codec].default_preset, rate_control=Crf(value=crf)
    )


@contextmanager
def _workers(folder: Path) -> Iterator[str]:
    """Yields the address of a scheduler with two workers of one thread each."""
    file = folder / "scheduler.json"
    common = ("--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1")
    commands = (
        ("scheduler", "--port", "0"),
        ("worker", "--nthreads", "1", "--no-nanny"),
        ("worker", "--nthreads", "1", "--no-nanny"),
    )
    processes = []
    try:
        for words in commands:
            command = [sys.executable, "-m", "dask", *words, *common]
            processes.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
            # For a moment the scheduler's file is there and empty.
            while not (file.exists() and file.read_text().endswith("}")):
                time.sleep(0.1)
        yield str(json.loads(file.read_text())["address"])
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
