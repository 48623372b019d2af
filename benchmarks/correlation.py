"""How well metrics predict what machines keep: correlations on the test material at four levels.

``python -m benchmarks.correlation --data ../shared/data``

Levels: each object; each frame; each setting (a clip's version, or 25 photos x codec x CRF band);
and within an object over its versions, also between versions at nearly equal rate or CRF. Versions
that lose hardly anything (x264 below CRF 22) are judged by themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

from .feature_distances import feature_predictor
from .ffmpeg_metrics import FfmpegPredictor
from .labelled_groups import Bools, Floats, Group, read_groups
from .learned_predictor import learned_predictor
from .machine import describe_machine
from .ordinary_metrics import ordinary_predictors
from .pair_table import PairTable, Row, pair_table, pool
from .pairs import JUDGES
from .predictors import Predictor, cached_values
from .rank_correlation import (
    Bootstrap,
    Estimate,
    as_lossy,
    draw_clusters,
    fit_logistic,
    krcc,
    ordered_rightly,
    plcc,
    srcc,
    srcc_within,
)

RESULTS = Path(__file__).parent / "results" / "correlation.json"
# Machines that train no metric.
HELD_OUT = frozenset({"yolox_nano", "arcface_mobilefacenet_int8", *JUDGES})
# The codec that no metric is trained on.
UNSEEN_CODEC = "svtav1"
_NUM_RESAMPLES, _SEED = 400, 0
# Smaller differences of the kept IoU are a detector's noise more often than not.
_CLEAR_DIFFERENCE = 0.1

Json = dict[str, object]


def _features(data: Path) -> Predictor:
    return feature_predictor(data / "weights" / "mobilenetv3_small_timm.safetensors")


# Each takes the folder of data. A further predictor is a row here.
PREDICTORS: tuple[Callable[[Path], Sequence[Predictor]], ...] = (
    lambda _: ordinary_predictors(),
    lambda data: [_features(data)],
    lambda _: [FfmpegPredictor()],
    lambda _: [learned_predictor()],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The mean of what some machines keep, over the regions that those of the scope saw.

    Attributes:
        by_subset: Whether codecs, photos and clips are reported each.
    """

    name: str
    machines: tuple[str, ...]
    scope: tuple[str, ...]
    by_subset: bool = False


def main() -> None:
    """Writes the correlations of all predictors, and prints those against the mean machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with weights/")
    parser.add_argument(
        "--cache", type=Path, default=Path("pairs"), help="labelled pairs; values go there"
    )
    parser.add_argument("--tasks", nargs="+", default=["objects", "faces", "plates"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    predictors = list(chain.from_iterable(make(arguments.data) for make in PREDICTORS))
    judged: dict[str, dict[str, Json]] = {}
    for name, is_light in (("tasks", False), ("light", True)):
        groups = list(read_groups(arguments.cache, arguments.tasks, "test", is_light=is_light))
        judged[name] = {}
        for task in sorted(arguments.tasks):
            of_task = [group for group in groups if group.task == task]
            if not of_task:
                raise SystemExit(
                    f"{arguments.cache} must have test pairs of {task} with all versions; build "
                    f"them anew"
                )
            judged[name][task] = _judge(
                predictors, of_task, arguments.cache, is_divided=not is_light
            )
    results = {
        "machine": describe_machine(),
        "seed": _SEED,
        "num_resamples": _NUM_RESAMPLES,
        "unseen_codec": UNSEEN_CODEC,
        "held_out_machines": sorted(HELD_OUT),
        "predictors": {one.name: one.version for one in predictors},
        "notes": {
            "plcc": "after a four-parameter monotone logistic fit (VQEG FR-TV Phase II)",
            "intervals": "95 %, photos and clips resampled; for settings, batches of photos",
            "vmaf, xpsnr": "whole frames as stills, without motion",
            "ms_ssim": "regions below 176 pixels are mirrored up to that size",
            "clear": f"labels that differ by more than {_CLEAR_DIFFERENCE}",
        },
        **judged,
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(_one_row_a_line(results))
    for name, tasks in judged.items():
        _print(name, tasks)


def _judge(
    predictors: Sequence[Predictor], groups: Sequence[Group], cache: Path, *, is_divided: bool
) -> Json:
    """Returns all rows of groups of one task.

    Args:
        cache: Where values of predictors are kept.
        is_divided: Into codecs, photos and clips too.
    """
    predicted = []
    for number, group in enumerate(groups, 1):
        started = time.process_time()
        rows = [cached_values(one, group, cache / "values") for one in predictors]
        predicted.append({name: values for one in rows for name, values in one.items()})
        spent = time.process_time() - started
        if spent > 1:
            print(f"{number}/{len(groups)} {group.name}: {spent:.0f} s", file=sys.stderr)
    table = pair_table(groups, predicted)
    parts = [part for part in _parts(table) if is_divided or part.subset == "all"]
    return {
        "material": _material(groups, table),
        **{level: list(_level(table, level, parts)) for level in ("object", "frame", "setting")},
        "within": list(_within(table, parts)),
    }


def _material(groups: Sequence[Group], table: PairTable) -> Json:
    origins = {group.origin: group.kind for group in groups}
    return {
        "groups": Counter(group.kind for group in groups),
        "photos_and_clips": Counter(origins.values()),
        "versions": Counter(version.codec for group in groups for version in group.versions),
        "regions": len(np.unique(table.regions)),
        "pairs": len(table.regions),
        "regions_seen_by": {
            name: len(np.unique(table.regions[seen])) for name, seen in table.seen.items()
        },
    }


def targets(machines: Sequence[str]) -> list[Target]:
    """Returns each machine alone; the mean of those in training; all on what all of them saw.

    ``mean`` is always there; it is the machine itself where there is but one. Judges have no part
    in it.
    """
    judges = [name for name in machines if name in JUDGES]
    everyone = tuple(name for name in machines if name not in judges)
    training = tuple(name for name in everyone if name not in HELD_OUT)
    found = [Target(name=name, machines=(name,), scope=(name,)) for name in judges]
    found += [
        Target(name=f"{name}, common", machines=(name,), scope=(*everyone, name), by_subset=True)
        for name in judges
    ]
    if len(everyone) == 1:
        return [Target(name="mean", machines=everyone, scope=everyone, by_subset=True), *found]
    found += [Target(name=name, machines=(name,), scope=(name,)) for name in everyone]
    if 1 < len(training) < len(everyone):
        found.append(Target(name="training mean", machines=training, scope=training))
        found.append(Target(name="training mean, common", machines=training, scope=everyone))
    found.append(Target(name="mean", machines=everyone, scope=everyone, by_subset=True))
    found += [
        Target(name=f"{name}, common", machines=(name,), scope=everyone, by_subset=name in HELD_OUT)
        for name in everyone
    ]
    return found


def subsets(table: PairTable, target: Target) -> Iterator[tuple[str, Bools]]:
    """Yields names and pairs of the parts of the material that a target is reported on."""
    scope = _scope(table, target)
    yield "all", scope
    if target.by_subset:
        kinds = sorted(set(table.kinds.tolist()))
        for kind in kinds if len(kinds) > 1 else ():
            yield kind, scope & (table.kinds == kind)
        unseen = scope & (table.codecs == UNSEEN_CODEC)
        seen = scope & ~unseen
        yield "seen codecs", seen
        if unseen.any():
            yield f"as lossy as {UNSEEN_CODEC}", as_lossy(_kept(table, target), seen, unseen)
        for codec in sorted(set(table.codecs.tolist())):
            yield codec, scope & (table.codecs == codec)


def _scope(table: PairTable, target: Target) -> Bools:
    scope: Bools = np.logical_and.reduce([table.seen[name] for name in target.scope])
    return scope


def _rows(table: PairTable, target: Target) -> dict[Row, Floats]:
    """Returns the predictors, and machines that saw all of the scope and are not the target."""
    scope = _scope(table, target)
    others = [
        name
        for name, seen in table.seen.items()
        if name not in target.machines and seen[scope].all()
    ]
    return {
        **table.values,
        **{Row(predictor=name, of="machine"): table.kept[name] for name in others},
    }


def _kept(table: PairTable, target: Target) -> Floats:
    kept: Floats = np.mean([table.kept[name] for name in target.machines], axis=0)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What a target is reported on.

    Attributes:
        chosen: Which pairs.
        kept: What is to be predicted, of all pairs.
        rows: What predicts it, of all pairs.
    """

    target: Target
    subset: str
    chosen: Bools
    kept: Floats
    rows: Mapping[Row, Floats]


def _parts(table: PairTable) -> Iterator[Part]:
    for target in targets(sorted(table.seen)):
        kept, rows = _kept(table, target), _rows(table, target)
        for subset, chosen in subsets(table, target):
            if chosen.any():
                yield Part(target=target, subset=subset, chosen=chosen, kept=kept, rows=rows)


def _level(table: PairTable, level: str, parts: Sequence[Part]) -> Iterator[Json]:
    unit = table.units[level]
    counts = draw_clusters(unit.strata, _NUM_RESAMPLES, np.random.default_rng(_SEED))
    for part in parts:
        units, weights = unit.of_pair[part.chosen], table.weights[part.chosen]
        _, first = np.unique(units, return_index=True)
        bootstrap = Bootstrap(unit.clusters[part.chosen][first], counts)
        truth = pool(part.kept[part.chosen], weights, units)
        ranks_of_truth = bootstrap.ranks(truth)
        for row, values in part.rows.items():
            prediction = pool(values[part.chosen], weights, units)
            entry: Json = {
                "target": part.target.name,
                "subset": part.subset,
                "predictor": row.predictor,
                "of": row.of,
                "num": len(truth),
                "num_clusters": len(np.unique(bootstrap.clusters)),
            }
            rank, linear, pairwise = (one(prediction, truth) for one in (srcc, plcc, krcc))
            if rank is None or linear is None or pairwise is None:
                yield entry | {"srcc": None, "plcc": None, "krcc": None}
                continue
            ranks = bootstrap.ranks(prediction)
            fitted = fit_logistic(prediction, truth)
            yield entry | {
                "srcc": _json(bootstrap.srcc(rank, ranks, ranks_of_truth)),
                "plcc": _json(bootstrap.plcc(linear, fitted, truth)),
                "krcc": _json(bootstrap.krcc(pairwise, prediction, truth)),
            }


def _within(table: PairTable, parts: Sequence[Part]) -> Iterator[Json]:
    unit = table.units["object"]
    counts = draw_clusters(unit.strata, _NUM_RESAMPLES, np.random.default_rng(_SEED))
    bootstrap = Bootstrap(unit.clusters, counts)
    # Any pair of a region has its cluster.
    pair_of_region = np.zeros(table.regions.max() + 1, dtype=np.int64)
    pair_of_region[table.regions] = np.arange(len(table.regions))
    pairs_at_equal = {
        **table.pairs_at_equal,
        "rate_or_crf": np.unique(np.concatenate(list(table.pairs_at_equal.values())), axis=0),
    }
    for part in parts:
        index = np.flatnonzero(part.chosen)
        for row, values in part.rows.items():
            entry: Json = {
                "target": part.target.name,
                "subset": part.subset,
                "predictor": row.predictor,
                "of": row.of,
            }
            found, regions = srcc_within(values[index], part.kept[index], table.regions[index])
            if len(found):
                mean = bootstrap.mean(found, pair_of_region[regions])
                entry |= {"num": len(found), "srcc": _json(mean)}
            for name, pairs in pairs_at_equal.items():
                inside = pairs[part.chosen[pairs].all(axis=1)]
                for suffix, least in (("", 0.0), ("_clear", _CLEAR_DIFFERENCE)):
                    verdicts, judged = ordered_rightly(values, part.kept, inside, least)
                    if len(verdicts):
                        share = bootstrap.mean(verdicts, inside[judged, 0])
                        entry[f"num_{name}{suffix}"] = len(verdicts)
                        entry[f"ordered_{name}{suffix}"] = _json(share)
            yield entry


def _json(estimate: Estimate) -> list[float]:
    """Returns the value and its interval."""
    return [round(one, 4) for one in (estimate.value, estimate.low, estimate.high)]


def _one_row_a_line(results: Mapping[str, object]) -> str:
    """Returns JSON in which each row of a table is a line, since there are thousands."""
    rows: list[str] = []

    def named(value: object) -> object:
        if isinstance(value, dict):
            return {key: named(one) for key, one in value.items()}
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows.extend(json.dumps(one, allow_nan=False) for one in value)
            return [f"<row {number}>" for number in range(len(rows) - len(value), len(rows))]
        return value

    text = json.dumps(named(results), indent=1, allow_nan=False)
    for number, row in enumerate(rows):
        text = text.replace(f'"<row {number}>"', row, 1)
    return text + "\n"


def _print(name: str, tasks: Mapping[str, Mapping[str, object]]) -> None:
    """Prints SRCC of all rows against the mean of all machines."""
    for task, tables in tasks.items():
        found: dict[tuple[object, object], dict[str, str]] = {}
        for level in ("object", "frame", "setting", "within"):
            rows = tables[level]
            assert isinstance(rows, list)
            for row in rows:
                if (row["target"], row["subset"]) != ("mean", "all"):
                    continue
                line = found.setdefault((row["predictor"], row["of"]), {})
                line[level] = _written(row.get("srcc"))
                if level == "within":
                    line["ordered"] = _written(row.get("ordered_rate_or_crf_clear"))
        print(f"{name}, {task}: SRCC against the mean machine; ordered at equal rate or CRF")
        print(f"{'':24} {'object':22} {'frame':22} {'setting':22} {'within':22} ordered")
        for (predictor, of), line in found.items():
            cells = (line.get(one, "-") for one in ("object", "frame", "setting", "within"))
            written = " ".join(f"{cell:22}" for cell in cells)
            print(f"{f'{predictor}, {of}':24} {written} {line.get('ordered', '-')}")


def _written(estimate: Sequence[float] | None) -> str:
    if estimate is None:
        return "-"
    value, low, high = estimate
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
