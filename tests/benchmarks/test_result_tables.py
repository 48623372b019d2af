"""The tables of replayed searches and of unseen clips, from results as written."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

Benchmark = Callable[[str], ModuleType]

# No metric was trained on these.
STREET, PHONE = "bikes_street_272p.mp4", "carphone_qcif.mp4"


def replayed(
    clip: str, ours: list[int | None], tpe: list[int | None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    table = {
        "clip": clip,
        "codec": "x264",
        "combinations": 48,
        "encodes": 294,
        "within_3_percent": 2,
    }
    runs = [
        {
            "clip": clip,
            "codec": "x264",
            "method": method,
            "budget": 300,
            "encodes_to_3_percent": needed,
            "encodes_to_1_percent": [None] * len(needed),
        }
        for method, needed in (("ours", ours), ("TPE", tpe))
    ]
    return table, runs


class TestReplay:
    def test_medians_count_what_never_gets_there(self, benchmark: Benchmark) -> None:
        grids = [
            replayed("road.avi", [20, 30, 25, None], [90, 60, None, 75]),
            replayed("street.mp4", [20, 20, 20, 20], [None, None, None, 100]),
            replayed("players_png", [None, None, None, 40], [50, 60, 70, 80]),
            replayed("room.mp4", [None] * 4, [None] * 4),
        ]
        results = {
            "tables": [table for table, _ in grids],
            "runs": [run for _, runs in grids for run in runs],
        }

        said = benchmark("search_replay_table").table(results)

        lines = said.splitlines()
        assert (
            lines[0] == "| clip | encoder | ours | TPE, CRF one more parameter | TPE against ours |"
        )
        assert "| road | x264 | 30 (-) | 90 (-) | 3.0 times |" in lines
        assert "| street | x264 | 20 (-) | - (-) | over 15.0 times |" in lines
        assert "| players_png | x264 | - (-) | 70 (-) | only TPE gets there |" in lines
        assert "| room | x264 | - (-) | - (-) | neither gets there |" in lines
        # Of 3, infinitely many and 0 times; a grid that nobody gets near to does not count.
        assert "3.0 times over all 4 grids; 3.0 times on the grids that" in said
        assert "who proposes" not in benchmark("search_replay_table").summary(results)

    def test_clips_that_nothing_was_chosen_by_are_told_apart(self, benchmark: Benchmark) -> None:
        made_with, runs = replayed("road.avi", [20] * 4, [60] * 4)
        held_out, other_runs = replayed("room.mp4", [40] * 4, [80] * 4)
        held_out["is_held_out"] = True

        said = benchmark("search_replay_table").table(
            {"tables": [made_with, held_out], "runs": runs + other_runs}
        )

        assert "2.5 times over all 2 grids; 3.0 times on the grids that the search was" in said
        assert "; 2.0 times on those by which nothing was chosen." in said

    def test_who_proposes_is_compared_where_every_grid_has_it(self, benchmark: Benchmark) -> None:
        results: dict[str, list[dict[str, Any]]] = {"tables": [], "runs": []}
        for clip, ours, others in (("a.avi", 20, 30), ("b.avi", 10, None), ("c.avi", 40, 90)):
            table, runs = replayed(clip, [ours] * 4, [120] * 4)
            results["tables"].append(table)
            results["runs"] += [
                *runs,
                {**runs[0], "method": "ours, GP", "encodes_to_3_percent": [others] * 4},
            ]

        summary = benchmark("search_replay_table").summary
        lines = summary(results).splitlines()

        assert "| a model of what options do | 3 of 3 | 20 | 6.0 times |" in lines
        assert "| GP (5 seeds) | 2 of 3 | 90 | 1.3 times |" in lines
        results["runs"].pop()
        assert "who proposes" not in summary(results)


class TestUnseen:
    def test_losses_are_counted_beside_the_median(self, benchmark: Benchmark) -> None:
        def numbers(median: float, *clips: float | None) -> dict[str, Any]:
            return {
                "median_bd_rate_percent": median,
                "interval_percent": [median - 5, median + 5],
                "clips": {
                    f"{number}.mp4": {"bd_rate_percent": percent}
                    for number, percent in enumerate(clips)
                },
            }

        runs = [
            {
                "codec": "x264",
                "metric": "objects",
                "tuned_on": 0,
                "keeps_defaults": False,
                "on_its_own_clips": numbers(-12.0, -12.0),
                "steering": numbers(-6.0, -8.0, -6.0, 3.0, None),
                "outside": numbers(2.0, 1.0, 3.0),
            },
            {"codec": "x264", "metric": "detector", "tuned_on": 1, "keeps_defaults": True},
        ]

        lines = benchmark("unseen_table").table({"runs": runs}).splitlines()

        assert lines[2:] == [
            "| x264 | objects | half 1 | -12.0 % (-17 to -7) | -6.0 % (-11 to -1) "
            "| +2.0 % (-3 to +7) | 1 of 3, 2 of 2 |",
            "| x264 | detector | half 2 | defaults kept | | | |",
        ]


class TestAnotherMachine:
    def test_ours_stands_beside_the_machine_and_the_ceiling(self, benchmark: Benchmark) -> None:
        def row(target: str, predictor: str, of: str, srcc: float) -> dict[str, Any]:
            return {
                "target": target,
                "subset": "all",
                "predictor": predictor,
                "of": of,
                "srcc": [srcc, srcc - 0.05, srcc + 0.05],
            }

        rows = [
            row("training mean, common", "ours", "region", 0.8),
            row("training mean, common", "yolox_nano", "machine", 0.7),
            row("yolov8n, common", "yolov5n", "machine", 0.4),
            row("yolov5n, common", "yolov8n", "machine", 0.6),
            row("mean", "ours", "region", 0.9),
        ]
        tables = dict.fromkeys(("object", "setting", "within"), rows)
        results = {
            "held_out_machines": ["arcface", "yolox_nano"],
            "tasks": {"objects": tables},
        }

        lines = benchmark("metric_tables").another_machine(results).splitlines()

        cells = " | ".join(["0.800 (0.75 to 0.85)"] * 3)
        assert lines[2] == f"| ours | mean of the other two machines | {cells} |"
        assert lines[3].startswith("| yolox_nano | mean of the other two machines | 0.700 (0.65")
        # Machines that agree by 0.5: the root of 1.5 / 2.
        assert lines[4].endswith("| mean of all three | 0.87 | 0.87 | 0.87 |")


class TestSteering:
    def test_both_ways_stand_side_by_side_as_each_machine_sees_them(
        self, benchmark: Benchmark
    ) -> None:
        def run(clip: str, metric: str = "detector", **seen: float | None) -> dict[str, Any]:
            change = {
                name: value
                and {"bd_rate": {"percent": value}, "bd_rate_interval_percent": [value - 5, 1]}
                for name, value in {"real_change": None, "second_change": None, **seen}.items()
            }
            return {
                "clip": clip,
                "codec": "x264",
                "machines": {
                    "metric": metric,
                    "real_machine": None if seen.get("real_change") is None else "yolov8n",
                },
                "settings": {"options": {"psy-rd": 0.2} if seen else {}},
                "contenders": [{"role": "options", **change}] if seen else [],
                "bd_rate_percent": seen.get("change", 0.0),
                "real": change["real_change"] and {"change": change["real_change"]},
            }

        by_detector = {"runs": [run(STREET, change=-10.0, second_change=4.0), run(PHONE)]}
        by_metric = {
            "runs": [
                run(STREET, "objects", change=-20.0, real_change=-12.0, second_change=-8.0),
                run(PHONE, "objects", change=-6.0, real_change=-4.0, second_change=2.0),
                run("trained.mp4", "objects", change=-60.0, real_change=-60.0, second_change=-60.0),
            ]
        }

        built_in = {"runs": [run(STREET, "objects", change=-9.0, second_change=-3.0)]}

        found = {
            "YOLOv8n": by_detector,
            "`objects`": by_metric,
            "`objects` in built-in regions": built_in,
        }
        lines = benchmark("tuning_tables").steering(found).splitlines()

        assert lines[2:5] == [
            "| bikes_street_272p | x264 | -10.0 % (-15 to +1), +4.0 % (-1 to +1) | -20.0 % (-25 to "
            "+1), -12.0 % (-17 to +1), -8.0 % (-13 to +1) | -9.0 % (-14 to +1), -3.0 % (-8 to +1) "
            "|",
            "| carphone_qcif | x264 | defaults kept | -6.0 % (-11 to +1), -4.0 % (-9 to +1), "
            "+2.0 % (-3 to +1) |  |",
            "| trained † | x264 |  | -60.0 % (-65 to +1), -60.0 % (-65 to +1), -60.0 % (-65 to +1) "
            "|  |",
        ]
        assert lines[-1] == (
            "†: the metric was trained on pieces of this clip, so it is not counted here. "
            "Where YOLOv8n steers YOLOv8n sees -5.0 % in the median of 2 runs, YOLOv5n, which took "
            "no part, +2.0 %, a loss on 1; defaults kept on 1. Where `objects` steers YOLOv8n sees "
            "-8.0 % in the median of 2 runs, YOLOv5n, which took no part, -3.0 %, a loss on 1; "
            "defaults kept on 0. Where `objects` in built-in regions steers it says itself -9.0 % "
            "in the median of 1 runs, YOLOv5n, which took no part, -3.0 %, a loss on 0; defaults "
            "kept on 0. Pair by pair YOLOv5n sees -5.0 % where `objects` steers beside where "
            "YOLOv8n does, in the median of 2: less rate on 1, more on 1. Pair by pair YOLOv5n "
            "sees -7.0 % where `objects` in built-in regions steers beside where YOLOv8n does, in "
            "the median of 1: less rate on 1, more on 0."
        )
