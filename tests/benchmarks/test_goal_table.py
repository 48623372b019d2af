"""What the learned metrics were to reach: each goal is judged by what was measured."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

Benchmark = Callable[[str], ModuleType]


def correlation(**values: float) -> dict[str, Any]:
    """Returns results in which each predictor has one SRCC on every level, subset and task."""

    def row(target: str, predictor: str, of: str, srcc: float, subset: str) -> dict[str, Any]:
        return {
            "target": target,
            "subset": subset,
            "predictor": predictor,
            "of": of,
            "srcc": [srcc, srcc - 0.05, srcc + 0.05],
        }

    rows = [
        row("mean", "ours", "region", values["ours"], "all"),
        row("mean", "ssim", "region", values["ssim"], "all"),
        row("mean", "ours", "region", values["ours"], "seen codecs"),
        row("mean", "ours", "region", values["unseen"], "as lossy as svtav1"),
        row("mean", "ours", "region", values["unseen"], "svtav1"),
        row("yolox_nano, common", "ours", "region", values["ours"], "all"),
        row("yolox_nano, common", "yolov8n", "machine", values["machine"], "all"),
    ]
    tables = dict.fromkeys(("object", "frame", "setting", "within"), rows)
    return {
        "unseen_codec": "svtav1",
        "held_out_machines": ["yolox_nano"],
        "tasks": {"faces": tables, "objects": tables, "plates": tables},
    }


def cost(distorted: float, reference: float) -> dict[str, Any]:
    times = {
        "objects distorted": distorted,
        "objects reference": reference,
        "yolov8n": 10.0,
        "yolov8x": 200.0,
    }
    rows = [{"milliseconds_a_frame": times}]
    machine = {"processor": "Some(R) CPU"}
    return {"machines": [{"machine": machine, "device": "cpu, one thread", "rows": rows}]}


def verdicts(benchmark: Benchmark, found: dict[str, Any], taken: dict[str, Any], noise: float):
    table = benchmark("goal_table").goals(
        found, taken, {"median_ratio": {"deviation": [noise, 0.4, 0.7], "shared": [0.4, 0.3, 0.5]}}
    )
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {cells[0]: cells[1:] for cells in rows}


def test_what_is_reached_says_so(benchmark: Benchmark) -> None:
    found = correlation(ours=0.98, ssim=0.7, unseen=0.96, machine=0.9)
    rows = verdicts(benchmark, found, cost(4.0, 5.0), 0.5)
    assert {cells[2] for cells in rows.values()} == {"yes"}


def test_what_is_not_reached_says_so_with_what_is_possible(benchmark: Benchmark) -> None:
    found = correlation(ours=0.84, ssim=0.80, unseen=0.80, machine=0.85)
    rows = verdicts(benchmark, found, cost(6.0, 15.0), 0.6)
    assert {cells[2] for cells in rows.values()} == {"no"}
    above = rows["objects, a region: above the best ordinary metric"]
    # Three machines that agree by 0.85: the root of 2.55 / 2.7, less SSIM's 0.80.
    assert above[:4] == [
        "+0.20",
        "+0.040",
        "no",
        "a perfect predictor of the three machines: +0.17",
    ]
    assert rows["Some CPU: a frame and its original, times cheaper than YOLOv8x"][1] == "9.5"


def test_a_share_of_the_machine_is_of_the_worst_size(benchmark: Benchmark) -> None:
    taken = cost(4.0, 5.0)
    taken["machines"][0]["rows"] += cost(7.0, 5.0)["machines"][0]["rows"]
    rows = verdicts(
        benchmark, correlation(ours=0.98, ssim=0.7, unseen=0.96, machine=0.9), taken, 0.5
    )
    assert rows["Some CPU: a frame and its original, in shares of YOLOv8n"][1] == "1.20"
