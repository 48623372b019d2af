"""The README's tables of the learned metrics. Needs nothing but the standard library."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

_OURS = ("ours", "ours, built-in regions", "ours, general")
_LEVELS = ("object", "frame", "setting", "within")
_LEVEL_NAMES = {"object": "an object", "setting": "a setting", "within": "within an object"}
_MEAN = "mean"
_WRITTEN = {"haarpsi": "HaarPSI", "ms_ssim": "MS-SSIM", "lpips_like": "LPIPS-like",
            "dists_like": "DISTS-like", **{name: name for name in _OURS}}  # fmt: skip


def correlations(results: dict[str, Any]) -> str:
    """Returns SRCC of every predictor against the mean machine, at each level, for objects."""
    tables = results["tasks"]["objects"]
    predictors = list(dict.fromkeys(row["predictor"] for row in _rows(tables, "object")))
    lines = [
        "| predictor | an object | a frame | a setting | within an object | right at equal rate or "
        "CRF |",
        "|---|---|---|---|---|---|",
    ]
    cells = {
        name: [_best(_rows(tables, level), name, "srcc") for level in _LEVELS]
        + [_best(_rows(tables, "within"), name, "ordered_rate_or_crf_clear")]
        for name in predictors
    }
    ordinary = sorted(
        (name for name in predictors if name not in _OURS),
        key=lambda name: -(cells[name][0] or [0])[0],
    )
    for name in (*(one for one in _OURS if one in cells), *ordinary):
        lines.append(f"| {_written(name)} | {' | '.join(map(_interval, cells[name]))} |")
    return "\n".join([*lines, "", _scope(tables)]) + "\n"


def _scope(tables: dict[str, Any]) -> str:
    """Returns on which of the test objects the mean of the machines is known."""
    num_objects = next(
        row["num"]
        for row in _rows(tables, "within")
        if (row["predictor"], row["of"]) == ("ours", "region")
    )
    num_pairs = next(
        row["num"]
        for row in _rows(tables, "object")
        if (row["predictor"], row["of"]) == ("ours", "region")
    )
    material = tables["material"]
    return (
        f"Of the {material['regions']} test objects those count that all three detectors see on "
        f"the original: {num_objects}, in {num_pairs} of {material['pairs']} pairs of an object "
        f"and a version. XPSNR and VMAF are of whole frames."
    )


def generalisation(results: dict[str, Any]) -> str:
    """Returns how the metrics hold for each task, on codecs and machines they never saw."""
    lines = [
        "| task | ours | general head | best ordinary metric | seen codecs | the same, as lossy as "
        "SVT-AV1 | SVT-AV1, not trained on | each machine (* not trained on) | one machine "
        "predicting another |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    unseen, held_out = results["unseen_codec"], results["held_out_machines"]
    for task, tables in results["tasks"].items():
        every = tables["object"]
        rows = _rows(tables, "object")
        best, ordinary = ordinary_best(tables, "object")
        machines = [
            f"{name}{'*' if name in held_out else ''} "
            f"{_plain(_best(_rows(tables, 'object', f'{name}, common'), 'ours', 'srcc'))}"
            for name in dict.fromkeys(row["target"] for row in every)
            if _is_machine(name)
        ]
        others = sorted({f"{one:.2f}" for one in _between_machines(every)})
        between = " to ".join(dict.fromkeys((others[0], others[-1]))) if others else ""
        cells = [
            task,
            _interval(_best(rows, "ours", "srcc")),
            _interval(_best(rows, "ours, general", "srcc")),
            f"{_written(best)} {ordinary:.3f}",
            _plain(_best(_rows(tables, "object", _MEAN, "seen codecs"), "ours", "srcc")),
            _plain(_best(_rows(tables, "object", _MEAN, f"as lossy as {unseen}"), "ours", "srcc")),
            _plain(_best(_rows(tables, "object", _MEAN, unseen), "ours", "srcc")),
            ", ".join(machines),
            between,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _scope(results["tasks"]["objects"])]) + "\n"


def light(results: dict[str, Any]) -> str:
    """Returns how versions that lose hardly anything are ranked, beside what machines agree on."""
    lines = [
        "| task | SRCC of | ours | best ordinary metric | one machine predicting another |",
        "|---|---|---|---|---|",
    ]
    for task, tables in results["light"].items():
        for level, written in _LEVEL_NAMES.items():
            best, ordinary = ordinary_best(tables, level)
            between = [f"{one:.2f}" for one in sorted(_between_machines(tables[level]))]
            cells = [
                task,
                written,
                _interval(_best(_rows(tables, level), "ours", "srcc")),
                f"{_written(best)} {ordinary:.3f}",
                " to ".join(dict.fromkeys((between[0], between[-1]))) if between else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def another_machine(results: dict[str, Any]) -> str:
    """Returns how ours does beside a real machine, and how good anything could be, for objects."""
    (held_out,) = (name for name in results["held_out_machines"] if name.startswith("yolo"))
    tables = results["tasks"]["objects"]
    lines = [
        f"| predictor | of | {' | '.join(_LEVEL_NAMES.values())} |",
        "|" + "---|" * (len(_LEVEL_NAMES) + 2),
    ]
    target = "training mean, common"
    for name, of in (("ours", "region"), (held_out, "machine")):
        cells = [
            _interval(row["srcc"])
            for level in _LEVEL_NAMES
            for row in tables[level]
            if (row["target"], row["subset"]) == (target, "all")
            and (row["predictor"], row["of"]) == (name, of)
        ]
        lines.append(f"| {name} | mean of the other two machines | {' | '.join(cells)} |")
    ceilings = [f"{ceiling(tables, level):.2f}" for level in _LEVEL_NAMES]
    lines.append(f"| what the three have in common | mean of all three | {' | '.join(ceilings)} |")
    return "\n".join(lines) + "\n"


def ceiling(tables: dict[str, Any], level: str) -> float:
    """Returns the SRCC with the mean of three machines that a perfect predictor would have.

    After Spearman and Brown (1910): machines that correlate by r, averaged over n, correlate with
    what they have in common by sqrt(n r / (1 + (n - 1) r)).
    """
    between = _between_machines(tables[level])
    agreement = sum(between) / len(between)
    return math.sqrt(3 * agreement / (1 + 2 * agreement))


def best_of(tables: dict[str, Any], level: str, predictor: str, subset: str = "all") -> float:
    """Returns SRCC against the mean machine: the better of whole frames and regions."""
    best = _best(_rows(tables, level, _MEAN, subset), predictor, "srcc")
    assert best is not None, f"{predictor} is not judged on {subset}"
    return best[0]


def ordinary_best(tables: dict[str, Any], level: str) -> tuple[str, float]:
    """Returns the ordinary metric that ranks best against the mean machine, and its SRCC."""
    names = dict.fromkeys(row["predictor"] for row in _rows(tables, level))
    found = {name: best_of(tables, level, name) for name in names if name not in _OURS}
    return max(found.items(), key=lambda one: one[1])


def cost(results: dict[str, Any]) -> str:
    """Returns milliseconds a frame of the metrics and of the machines they stand for."""
    columns = (
        "objects distorted", "objects reference", "yolov8n", "yolov8s", "yolov8m", "yolov8x",
        "faces distorted", "face detector", "face embedder", "plates distorted", "plate detector",
        "plate reader",
    )  # fmt: skip
    lines = [
        f"| processor | size | {' | '.join(columns)} |",
        "|" + "---|" * (len(columns) + 2),
    ]
    for measured in results["machines"]:
        where = place(measured)
        for row in measured["rows"]:
            taken = row["milliseconds_a_frame"]
            decimals = 0 if measured["device"].startswith("cpu") else 1
            cells = " | ".join(
                f"{taken[name]:.{decimals}f}" if name in taken else "" for name in columns
            )
            lines.append(f"| {where} | {row['size']} | {cells} |")
    return "\n".join(lines) + "\n"


def place(measured: dict[str, Any]) -> str:
    """Returns the name of what was measured on: a graphics card, or else the processor."""
    device, processor = str(measured["device"]), str(measured["machine"]["processor"])
    return processor.replace("(R)", "") if device.startswith("cpu") else device


def noise(results: dict[str, Any]) -> str:
    """Returns a sentence on the standard deviation of scores over samples of frames."""
    ratios, rows = results["median_ratio"], results["rows"]
    num_samples = [len(row["objects"]["samples"][0]) for row in rows]
    return (
        f"Over {min(num_samples)} to {max(num_samples)} disjoint samples of ten frames of "
        f"{len({row['clip'] for row in rows})} clips, encoded by {len(results['crfs'])} encoders, "
        f"the score of the learned metric deviates {_interval(ratios['deviation'])} times as much "
        f"as the detector's (median over clips, 95 % interval), and "
        f"{_interval(ratios['deviation_in_log_rate'])} times as much when both are told as rates. "
        f"What {len(results['detectors'])} detectors have in common, since samples differ in what "
        f"they show, deviates {_interval(ratios['shared'])} times as much.\n"
    )


def proposals(results: dict[str, Any]) -> str:
    """Returns how the built-in regions agree with those of detectors, on test pictures."""
    lines = ["| regions | of detectors | recall | precision | AP50 |", "|---|---|---|---|---|"]
    for kind, found in results["figures"]["test"]["all"].items():
        lines.append(
            f"| {kind} | {found['regions']} | {found['recall']:.2f} | {found['precision']:.2f} | "
            f"{found['average_precision_50']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def views(results: dict[str, Any]) -> str:
    """Returns how well objects are ranked by each way to look at them, and what that takes."""
    lines = [
        "| what the network sees | SRCC, heads trained for it (lowest to highest seed) | "
        "ms a version |",
        "|---|---|---|",
    ]
    for row in results["rows"]:
        lines.append(
            f"| {row['view']} | {row['median_srcc']:.3f} ({min(row['srcc']):.3f} to "
            f"{max(row['srcc']):.3f}) | {row['milliseconds_a_version']:.0f} |"
        )
    trained, judged = results["material"]["train"], results["material"]["validation"]
    return "\n".join(lines) + (
        f"\n\nTrained on {trained['objects']} objects of {trained['photos']} photos, judged on "
        f"{judged['objects']} of {judged['photos']} validation photos.\n"
    )


def _rows(
    tables: dict[str, Any], level: str, target: str = _MEAN, subset: str = "all"
) -> list[dict[str, Any]]:
    return [
        row
        for row in tables[level]
        if (row["target"], row["subset"]) == (target, subset) and row["of"] != "machine"
    ]


def _between_machines(rows: Iterable[dict[str, Any]]) -> list[float]:
    """Returns SRCC of each machine that predicts another one alone."""
    return [
        row["srcc"][0] for row in rows if row["of"] == "machine" and row["subset"] == "all"
        and "mean" not in row["target"] and row["srcc"]
    ]  # fmt: skip


def _best(rows: Iterable[dict[str, Any]], name: str, what: str) -> list[float] | None:
    """Returns the better of a predictor's rows: on whole frames, and on regions."""
    found = [row[what] for row in rows if row["predictor"] == name and row.get(what)]
    return max(found) if found else None


def _written(predictor: str) -> str:
    return _WRITTEN.get(predictor, predictor.upper())


def _is_machine(target: str) -> bool:
    return "mean" not in target and "common" not in target


def _interval(estimate: list[float] | None) -> str:
    if estimate is None:
        return ""
    value, low, high = estimate
    return f"{value:.3f} ({low:.2f} to {high:.2f})"


def _plain(estimate: list[float] | None) -> str:
    return "" if estimate is None else f"{estimate[0]:.3f}"
