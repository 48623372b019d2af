"""Opens damaged clips of every container and codec: no crash, no hang, no leak.

``python -m benchmarks.fuzz_clips --data ../shared/data --work FOLDER`` takes some two minutes on
two cores. A run that is stopped goes on from what is in FOLDER. Each file is a function of its
number: ``--keep NUMBER`` writes that one into FOLDER and stops.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import select
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from .fuzz_material import Whole, damage, write_material
from .machine import describe_machine
from .result_file import write_results

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
_WORKER = Path(__file__).with_name("fuzz_worker.py")
_CLIP = "carphone_qcif.mp4"
_HANG_SECONDS = 30.0
# Files after which a worker has loaded all it needs. What it grows by from there on, quarter for
# quarter, is a leak; one step, after which it stays, is the allocator's.
_WARM_FILES = 200


@dataclass(slots=True, kw_only=True)
class Fuzz:
    """Files to open, and what came of those that were.

    Attributes:
        numbers: Of the files to come.
        log: Gets a line a file.
    """

    material: list[Whole]
    work: Path
    numbers: queue.SimpleQueue[int]
    log: IO[str]
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> None:
    """Opens the files, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done")
    parser.add_argument("--num-files", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=int, help="writes the file of this number and stops")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SVT_LOG", "1")  # it would print its settings
    material = write_material(arguments.data / "clips" / _CLIP, arguments.work)
    if arguments.keep is not None:
        print(write_damaged(material, arguments.keep, arguments.work / "kept")[1])
        return
    numbers = range(arguments.first, arguments.first + arguments.num_files)
    results = run(material, arguments.work, numbers, arguments.jobs)
    results["machine"] = describe_machine()
    write_results(results, arguments.results)
    print(json.dumps(results))


def write_damaged(material: list[Whole], number: int, folder: Path) -> tuple[str, Path]:
    """Writes the file of a number; returns what was done, and the path."""
    whole = material[number % len(material)]
    done, files = damage(whole, np.random.default_rng(number))
    if len(files) == 1:
        path = folder / f"{number}-{whole.name}"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[0])
    else:
        path = folder / str(number)
        path.mkdir(parents=True, exist_ok=True)
        for index, content in enumerate(files):
            (path / f"{index}{whole.name}").write_bytes(content)
    return f"{whole.name} {done}", path


def run(material: list[Whole], work: Path, numbers: range, num_jobs: int) -> dict[str, object]:
    """Opens the files that no earlier run has opened; returns what came of all."""
    done = work / "done.jsonl"
    known = _read(done)
    to_come: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        if number not in known:
            to_come.put(number)
    with done.open("a") as log:
        fuzz = Fuzz(material=material, work=work, numbers=to_come, log=log)
        threads = [
            threading.Thread(target=_work, args=(fuzz, index), name=f"fuzz {index}")
            for index in range(num_jobs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    known = _read(done)
    return _summary([known[number] for number in numbers], material)


def _read(done: Path) -> dict[int, dict[str, object]]:
    """Returns the lines of earlier runs by number; a half-written last one is left out."""
    known = {}
    for line in done.read_text().splitlines() if done.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        known[row["number"]] = row
    return known


def _work(fuzz: Fuzz, index: int) -> None:
    """Feeds one worker after another until no file is left."""
    life, worker, num_files = 0, _start(), 0
    while True:
        try:
            number = fuzz.numbers.get_nowait()
        except queue.Empty:
            break
        what, path = write_damaged(fuzz.material, number, fuzz.work / f"job{index}")
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(f"{path}\n")
        worker.stdin.flush()
        row: dict[str, object] = {"number": number, "what": what, "life": f"{index}.{life}"}
        if not select.select([worker.stdout], [], [], _HANG_SECONDS)[0]:
            row["end"] = "hang"
        elif answer := worker.stdout.readline():
            num_files += 1
            row |= {**json.loads(answer), "end": "answer", "files_before": num_files}
        else:
            row["end"] = f"crash {worker.wait()}"
        if row["end"] != "answer":
            _end(worker)
            life, worker, num_files = life + 1, _start(), 0
        with fuzz.lock:
            fuzz.log.write(json.dumps(row) + "\n")
            fuzz.log.flush()
        for file in [*path.iterdir(), path] if path.is_dir() else [path]:
            file.rmdir() if file.is_dir() else file.unlink()
    _end(worker)


def _end(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    with worker:  # closes its pipes and waits
        pass


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(_WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _summary(rows: list[dict[str, object]], material: list[Whole]) -> dict[str, object]:
    """Returns counts of ends, and how much a worker grew once it was warm."""
    answered = [row for row in rows if row["end"] == "answer"]
    bad = [
        {key: row.get(key) for key in ("number", "what", "end", "probe", "load_source")}
        for row in rows
        if row["end"] != "answer" or _is_unexpected(row)
    ]
    lives: dict[str, list[dict[str, object]]] = {}
    for row in answered:
        lives.setdefault(str(row["life"]), []).append(row)
    growths = []
    for life in lives.values():
        warm = [row for row in life if int(str(row["files_before"])) > _WARM_FILES]
        if len(warm) >= _WARM_FILES:
            sizes = np.array([float(str(row["resident_megabytes"])) for row in warm])
            quarters = [float(np.median(quarter)) for quarter in np.array_split(sizes, 4)]
            growths.append(
                {
                    "files": len(warm),
                    "megabytes_by_quarter": [round(median, 1) for median in quarters],
                    "most_descriptors": max(int(str(row["descriptors"])) for row in warm),
                }
            )
    return {
        "files": len(rows),
        "formats": [whole.name for whole in material],
        "crashes": sum(str(row["end"]).startswith("crash") for row in rows),
        "hangs": sum(row["end"] == "hang" for row in rows),
        "unexpected": sum(_is_unexpected(row) for row in answered),
        "probe": Counter(str(row["probe"]).split()[0] for row in answered),
        "load_source": Counter(str(row["load_source"]).split()[0] for row in answered),
        "slowest_seconds": max((float(str(row["seconds"])) for row in answered), default=0.0),
        "workers": growths,
        "bad": bad,
    }


def _is_unexpected(row: dict[str, object]) -> bool:
    return any(str(row[name]).startswith("unexpected") for name in ("probe", "load_source"))


if __name__ == "__main__":
    main()
