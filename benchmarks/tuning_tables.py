"""The tables of runs of ``ratesight tune``, from results as the benchmarks write them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .clip_split import TEST_CLIPS

ENCODERS = ("x264", "x265", "svtav1")
_MARK, _TRAINED = "†", "the metric was trained on pieces of this clip"
_SHORT = "‡"


def _table(
    results: dict[str, Any],
    columns: str,
    cells: Callable[[dict[str, Any]], str],
    medians: str,
    *,
    name: Callable[[str], str] = lambda clip: Path(clip).stem,
) -> str:
    """Returns a row a run, what failed with its reason, and a sentence below."""
    num_columns = columns.count("|") + 3
    lines = [f"| clip | encoder | {columns} |", "|" + "---|" * num_columns]
    for run in _in_order(results["runs"]):
        if "error" in run:
            row = run["error"].partition(";")[0] + " |" * (num_columns - 3)
        else:
            row = cells(run)
        lines.append(f"| {name(run['clip'])} | {run['codec']} | {row} |")
    return "\n".join([*lines, "", medians]) + "\n"


def whole(results: dict[str, Any]) -> str:
    """Returns what is saved on whole clips where ``objects`` steers and YOLOv8n judges."""
    columns = (
        "rate at equal quality: defaults, tuned (kbit/s) | change (95 % interval) | BD-rate (95 % "
        "interval) | BD-rate as YOLOv5n sees it | quality kept, of the target | mAP 50-95: "
        "defaults, tuned"
    )
    text = f"{_MARK}: {_TRAINED}. {_SHORT}: failed verification, the search had promised more."
    return _table(results, columns, _whole_cells, text, name=_marked)


def whole_fleets(results: dict[str, Any]) -> str:
    """Returns what fleets of whole clips save, each encoder by itself, by who steered."""
    steered = {"objects": "`objects`", "detector": "YOLOv8n"}
    columns = " | ".join(
        f"{name} steers: to expect (95 % interval over clips), measured by YOLOv8n, by YOLOv5n; "
        f"defaults kept, verification failed"
        for name in steered.values()
    )
    lines = [f"| encoder | clips | {columns} |", "|" + "---|" * (len(steered) + 2)]
    for codec in ENCODERS:
        found = {one["steering"]: one for one in results["fleets"] if one["codec"] == codec}
        if found:
            cells = " | ".join(_fleet_cell(found[name]) for name in steered)
            lines.append(f"| {codec} | {len(found['objects']['clips'])} | {cells} |")
    return "\n".join(lines) + "\n"


def _fleet_cell(found: dict[str, Any]) -> str:
    num_clips, second = len(found["clips"]), _percent(found["second_percent"], None)
    on = "" if found["num_second"] == num_clips else f" (on {found['num_second']})"
    expected = "too few clips"
    if found["is_corrected"]:
        expected = _percent(found["percent"], found["interval_percent"])
    return (
        f"{expected}, {_percent(found['measured_percent'], None)}, {second}{on}; "
        f"{found['num_keeping']}, {found['num_not_verified']}"
    )


def _whole_cells(run: dict[str, Any]) -> str:
    if not run["settings"]["options"]:
        return "defaults kept | nothing saved | | | |"
    change, second = run["real"]["change"], _options(run)["second_change"]
    gap = run["real"]["quality_gap"]
    mark = "" if gap is None or gap >= -run["tolerance"] else f" {_SHORT}"
    percent = _percent(change["percent"], [change["low_percent"], change["high_percent"]])
    return (
        f"{change['anchor_rate_kbps']:.0f}, {change['rate_kbps']:.0f} | {percent} | "
        f"{_bd_rates([change])} | {_bd_rates([second])} | "
        f"{run['real']['quality']:.3f} of {run['target_quality']:g}{mark} | "
        f"{run['anchor']['map50_95']:.2f}, {run['winner']['map50_95']:.2f}"
    )


def tuning(results: dict[str, Any]) -> str:
    """Returns the runs, and their medians."""
    columns = (
        "rate at quality 0.95: defaults, tuned (kbit/s) | change at 0.95 (95 % interval) | "
        "BD-rate (95 % interval) | mAP 50-95: defaults, tuned | PSNR (dB)"
    )
    return _table(results, columns, _tuning_cells, medians(results["runs"]))


def _tuning_cells(run: dict[str, Any]) -> str:
    winner, anchor = run["winner"], run["anchor"]
    if not run["settings"]["options"]:
        return (
            f"{run['anchor_rate_kbps']:.0f}{_above(run, 'anchor')} | defaults kept | "
            f"nothing saved | {anchor['map50_95']:.2f} | {anchor['psnr_db']:.1f}"
        )
    return (
        f"{run['anchor_rate_kbps']:.0f}{_above(run, 'anchor')}, "
        f"{run['rate_kbps']:.0f}{_above(run, 'winner')} | {_change_at_target(run)} | "
        f"{_percent(run['bd_rate_percent'], run['bd_rate_interval_percent'])} | "
        f"{anchor['map50_95']:.2f}, {winner['map50_95']:.2f} | "
        f"{anchor['psnr_db']:.1f}, {winner['psnr_db']:.1f}"
    )


def _above(run: dict[str, Any], which: str) -> str:
    """Returns a mark where even the highest CRF keeps more than the target."""
    return "*" if _is_above(run, which) else ""


def _is_above(run: dict[str, Any], which: str) -> bool:
    return min(point["quality"] for point in run[f"{which}_curve"]) > run["target_quality"]


def _change_at_target(run: dict[str, Any]) -> str:
    if _is_above(run, "anchor") or _is_above(run, "winner"):
        return "above 0.95 at any CRF"
    return _percent(run["rate_change_percent"], run["rate_change_interval_percent"])


def steering(results: Mapping[str, dict[str, Any]]) -> str:
    """Returns what each that steers saves on each clip, as each machine sees it.

    Args:
        results: By who steers, YOLOv8n first.
    """
    steered = {name: _by_clip(runs) for name, runs in results.items()}
    columns = " | ".join(
        f"{name} steers: {_seen_by(list(runs.values()))}" for name, runs in steered.items()
    )
    lines = [f"| clip | encoder | {columns} |", "|" + "---|" * (len(steered) + 2)]
    for clip, codec in dict.fromkeys(key for some in steered.values() for key in some):
        runs = [some.get((clip, codec)) for some in steered.values()]
        cells = " | ".join("" if run is None else _bd_rates_seen(run) for run in runs)
        lines.append(f"| {_marked(clip)} | {codec} | {cells} |")
    sentences = [f"{_MARK}: {_TRAINED}, so it is not counted here."]
    for name, some in steered.items():
        sentences.append(_steered_sentence(name, list(_untrained(some.values()))))
    for name in list(steered)[1:]:
        sentences.append(_pairs_sentence(name, steered[name], steered["YOLOv8n"]))
    return "\n".join([*lines, "", " ".join(sentences)]) + "\n"


def _marked(clip: str) -> str:
    """Returns the name of a clip, with a mark where metrics were trained on it."""
    return Path(clip).stem + ("" if clip in TEST_CLIPS else f" {_MARK}")


def _untrained(runs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the runs that did not fail, on clips that no metric was trained on."""
    return (run for run in runs if run["clip"] in TEST_CLIPS and "error" not in run)


def _seen_by(runs: list[dict[str, Any]]) -> str:
    """Returns whose BD-rates a cell has, in their order."""
    machines = runs[0]["machines"]
    if machines["metric"] == "detector":
        return "BD-rate as it sees it, as YOLOv5n does"
    if machines["real_machine"] is None:
        return "BD-rate as it says, as YOLOv5n sees it"
    return "BD-rate as it says, as YOLOv8n sees it, as YOLOv5n does"


def _by_clip(results: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the runs that did not fail by clip and encoder."""
    runs = _in_order(results["runs"])
    return {(run["clip"], run["codec"]): run for run in runs if "error" not in run}


def _steered_sentence(name: str, runs: list[dict[str, Any]]) -> str:
    """Returns what is saved where one steers, in medians."""
    machines = runs[0]["machines"]
    is_real = machines["metric"] == "detector" or machines["real_machine"] is not None
    sees = "YOLOv8n sees" if is_real else "it says itself"
    outside = [value for run in runs if (value := _second_bd_rate(run)) is not None]
    kept = sum(not run["settings"]["options"] for run in runs)
    return (
        f"Where {name} steers {sees} {_median(map(_real_bd_rate, runs))} in the median of "
        f"{len(runs)} runs, YOLOv5n, which took no part, {_median(outside)}, a loss on "
        f"{sum(value > 0 for value in outside)}; defaults kept on {kept}."
    )


def _pairs_sentence(
    name: str,
    ours: dict[tuple[str, str], dict[str, Any]],
    theirs: dict[tuple[str, str], dict[str, Any]],
) -> str:
    """Returns how what one steers compares with what YOLOv8n does, run by run, to YOLOv5n."""
    pairs = [
        (_second_bd_rate(run), _second_bd_rate(theirs[key]))
        for key, run in ours.items()
        if key in theirs and run["clip"] in TEST_CLIPS
    ]
    differences = [one - other for one, other in pairs if one is not None and other is not None]
    return (
        f"Pair by pair YOLOv5n sees {_median(differences)} where {name} steers beside where "
        f"YOLOv8n does, in the median of {len(differences)}: less rate on "
        f"{sum(one < 0 for one in differences)}, more on {sum(one > 0 for one in differences)}."
    )


def _bd_rates_seen(run: dict[str, Any]) -> str:
    """Returns the BD-rates of what is recommended: by who steered, verified, and took no part."""
    if not run["settings"]["options"]:
        return "defaults kept"
    options = _options(run)
    changes = (options["change"], options["real_change"], options["second_change"])
    return _bd_rates([change for change in changes if change is not None])


def _options(run: dict[str, Any]) -> dict[str, Any]:
    """Returns what was verified without regions."""
    found: dict[str, Any]
    (found,) = (one for one in run["contenders"] if one["role"] == "options")
    return found


def regions(results: dict[str, Any]) -> str:
    """Returns what regions save, against the defaults and against options alone."""
    columns = (
        "in regions | BD-rate against the defaults: steering, second detector | "
        "BD-rate against options alone: steering, second detector | precision, recall: defaults, "
        "recommended | recommended, its BD-rate"
    )
    return _table(results, columns, _region_cells, region_medians(results["runs"]))


def _region_cells(run: dict[str, Any]) -> str:
    regions = next((one for one in run["contenders"] if one["role"] == "regions"), None)
    if regions is not None:
        cells = (
            f"{regions['region_share'] * 100:.0f} % | {_pair(regions, 'change')} | "
            f"{_pair(regions, 'change_from_options')}"
        )
    elif run["provenance"]["num_region_trials"] == 0:
        cells = "nearly all: not tried | | "
    else:
        cells = "none better in the search | | "
    seen = " → ".join(
        f"{one['precision']:.2f}, {one['recall']:.2f}" for one in (run["anchor"], run["winner"])
    )
    saved = _percent(run["bd_rate_percent"], run["bd_rate_interval_percent"])
    what = _recommended(run)
    return f"{cells} | {seen} | {what if what == 'defaults' else f'{what}, {saved}'}"


def _pair(contender: dict[str, Any], name: str) -> str:
    """Returns the BD-rates that the two detectors see."""
    return _bd_rates([contender[name], contender[f"second_{name}"]])


def _bd_rates(changes: Iterable[dict[str, Any] | None]) -> str:
    """Returns the BD-rate of each change, with its interval."""
    return ", ".join(
        "n/a" if change is None or change["bd_rate"] is None
        else _percent(change["bd_rate"]["percent"], change["bd_rate_interval_percent"])
        for change in changes
    )  # fmt: skip


def _recommended(run: dict[str, Any]) -> str:
    options = run["settings"]["options"]
    return "regions" if "roi" in options else "options" if options else "defaults"


def region_medians(runs: list[dict[str, Any]]) -> str:
    """Returns one sentence an encoder; where regions are not recommended, what is counts."""
    sentences = []
    for codec in dict.fromkeys(run["codec"] for run in _in_order(runs)):
        done = [run for run in runs if run["codec"] == codec and "error" not in run]
        if not done:
            continue
        overall = _median(run["bd_rate_percent"] for run in done)
        text = f"{codec}: median BD-rate of what is recommended {overall} on {len(done)} clips"
        second = _median(_second_bd_rate(run) for run in done)
        text += f", as the second detector sees it {second}"
        counts = [sum(_recommended(run) == what for run in done) for what in _KINDS]
        kinds = ", ".join(f"{what} on {count}" for what, count in zip(_KINDS, counts, strict=True))
        sentences.append(f"{text}; recommended are {kinds}.")
    return " ".join(sentences) + "\n"


def per_shot(results: dict[str, Any]) -> str:
    """Returns what a CRF for each shot saves against one CRF."""
    columns = (
        "CRFs of the shots, one CRF | kbit/s at quality 0.95: one CRF, per shot | "
        "change at 0.95 (95 % interval) | BD-rate (95 % interval) | recommended"
    )
    return _table(results, columns, _shot_cells, shot_medians(results["runs"]))


def _shot_cells(run: dict[str, Any]) -> str:
    found = run["per_shot"]
    if found is None:
        return "no shots to share bits over | | | | one CRF"
    change, crfs = found["change"], " ".join(f"{shot['crf']:g}" for shot in found["shots"])
    at_target = _percent(change["percent"], [change["low_percent"], change["high_percent"]])
    overall = _percent(
        change["bd_rate"] and change["bd_rate"]["percent"], change["bd_rate_interval_percent"]
    )
    return (
        f"{crfs}, {run['winner']['crf']:g} | "
        f"{change['anchor_rate_kbps']:.0f}, {change['rate_kbps']:.0f} | {at_target} | {overall} | "
        f"{'a CRF a shot' if run['shots'] else 'one CRF'}"
    )


def shot_medians(runs: list[dict[str, Any]]) -> str:
    """Returns one sentence an encoder, of what was tried and of what is recommended."""
    sentences = []
    for codec in dict.fromkeys(run["codec"] for run in _in_order(runs)):
        done = [run for run in runs if run["codec"] == codec and run.get("per_shot")]
        if not done:
            continue
        changes = [run["per_shot"]["change"] for run in done]
        overall = [change["bd_rate"] and change["bd_rate"]["percent"] for change in changes]
        kept = [value if run["shots"] else 0.0 for run, value in zip(done, overall, strict=True)]
        sentences.append(
            f"{codec}: median over titles ({len(done)}) "
            f"{_median(one['percent'] for one in changes)} at quality 0.95, "
            f"{_median(overall)} BD-rate; of what is recommended "
            f"{_median(kept)} BD-rate (a CRF a shot on {sum(bool(run['shots']) for run in done)})."
        )
    return " ".join(sentences) + "\n"


_KINDS = ("regions", "options", "defaults")


def _second_bd_rate(run: dict[str, Any]) -> float | None:
    """Returns the BD-rate of what is recommended, as the second detector sees it."""
    what = _recommended(run)
    if what == "defaults":
        return 0.0
    change = next(one["second_change"] for one in run["contenders"] if one["role"] == what)
    return change and change["bd_rate"] and float(change["bd_rate"]["percent"])


def _real_bd_rate(run: dict[str, Any]) -> float | None:
    """Returns the BD-rate of what is recommended, by the detector that steered or verified."""
    if not run["settings"]["options"]:
        return 0.0
    if run["real"] is None:
        found: float | None = run["bd_rate_percent"]
        return found
    overall = run["real"]["change"]["bd_rate"]
    return overall and float(overall["percent"])


def _median(values: Iterable[float | None]) -> str:
    """Returns the median of what there is: curves that share no quality have no BD-rate."""
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):+.1f} %" if known else "n/a"


def _in_order(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the runs clip by clip, whatever the order they were made in."""
    clips = list(dict.fromkeys(run["clip"] for run in runs))
    return sorted(runs, key=lambda run: (clips.index(run["clip"]), ENCODERS.index(run["codec"])))


def _percent(value: float | None, interval: list[float | None] | None) -> str:
    if value is None:
        return "n/a"
    if interval is None:
        return f"{value:+.1f} %"
    low = "below" if interval[0] is None else f"{interval[0]:+.0f}"
    high = "above" if interval[1] is None else f"{interval[1]:+.0f}"
    return f"{value:+.1f} % ({low} to {high})"


def medians(runs: list[dict[str, Any]]) -> str:
    """Returns one sentence an encoder; kept defaults count as 0, runs without result not at all."""
    sentences = []
    for codec in dict.fromkeys(run["codec"] for run in _in_order(runs)):
        done = [run for run in runs if run["codec"] == codec and "error" not in run]
        if not done:
            continue
        there = [run for run in done if not _is_above(run, "anchor")]
        at_target = _median(run["rate_change_percent"] for run in there)
        overall = _median(run["bd_rate_percent"] for run in done)
        kept = sum(not run["settings"]["options"] for run in done)
        sentences.append(
            f"Median with {codec}: {at_target} at quality 0.95 on {len(there)} clips, {overall} "
            f"BD-rate on {len(done)}; defaults kept on {kept}."
        )
    tuned = [run for run in runs if "error" not in run and run["settings"]["options"]]
    ends = [(run["bd_rate_interval_percent"] or [None, None])[1] for run in tuned]
    sentences.append(
        f"Of the {len(tuned)} runs that recommend other settings the interval of BD-rate ends "
        f"below 0 on {sum(end is not None and end < 0 for end in ends)}. "
        f"*: keeps more than 0.95 at the highest CRF too."
    )
    return " ".join(sentences) + "\n"


def cost(tuning: dict[str, Any], memory: dict[str, Any]) -> str:
    """Returns what the 720p x264 run took, and the memory of a long clip."""
    run = next(run for run in tuning["runs"] if "720p" in run["clip"] and run["codec"] == "x264")
    seconds, num_jobs = run["seconds"], run["provenance"]["num_jobs"]
    available = seconds["wall"] * num_jobs
    shares = ", ".join(
        f"{name} {seconds[name] / available * 100:.0f} %"
        for name in ("encode", "detect", "decode", "fidelity", "rest")
    )
    return (
        f"{run['num_trials']} trials on 5 s of {Path(run['clip']).stem} with x264 take "
        f"{seconds['wall']:.0f} s on {num_jobs} cores: {run['num_encodes']} encodes; {shares}. "
        f"Peak memory with {memory['num_jobs']} encodes side by side of {memory['frames']} frames "
        f"of {memory['size']}: {memory['peak_gigabytes']:.2f} GB.\n"
    )
