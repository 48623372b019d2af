"""What tuning 1,000 titles of two hours costs, on paper, from what the benchmarks measured.

``python -m benchmarks.cost_model`` prints the table of the README; ``benchmarks.tables`` writes it.
Needs nothing but the standard library, results/tuning_times.json and results/metric_cost.json.

Seconds of one core add up: encodes run on one thread each, and so do networks. Left out is what
costs little beside them: decoding the title once, loading, statistics. The time of a frame is that
of the two 1280x720 clips of ``benchmarks.tuning``, and of the metrics on their own, on one kind of
processor.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_RESULTS = Path(__file__).parent / "results"

_TITLES, _TITLE_SECONDS, _FRAME_RATE = 1000, 2 * 3600, 25
_EURO_A_CORE_HOUR = 0.04  # an assumption: about what clouds ask for one virtual core on demand
# Two ladders of seven rungs and a close look at each of the two, on the whole title.
_VERIFYING_ENCODES = 2 * 7 + 2
# The anchor's ladder and what is added around the target: measured whatever the number of trials.
_ANCHOR_ENCODES = 6
# What is looked at for the verification: by what the search looks at, and at the most.
_VERIFIED_FRAMES, _MOST_VERIFIED_FRAMES = 2, 1000
# With starts from other titles fewer trials do: an assumption, no measurement.
_TRIALS, _WARM_TRIALS = 25, 10
_PIECES_SECONDS = 8 * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a title is tuned.

    Attributes:
        searched_seconds: What the search encodes and looks at.
        frames_per_second: That the search looks at.
        look_seconds, judge_seconds: Of the machine for a frame: the one that the search goes by,
            and all that verify.
        real_seconds: Of the machine that a learned metric predicts, which sees the original and
            the anchor's encodes too; 0 where there is none.
    """

    searched_seconds: float
    trials: int
    frames_per_second: float
    look_seconds: float
    judge_seconds: float
    real_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds of a core that were measured with one encoder at 1280x720.

    Attributes:
        encode_seconds, decode_seconds: For a frame.
        encodes_a_trial: Of one candidate; the anchor's are not among them.
    """

    encode_seconds: float
    decode_seconds: float
    encodes_a_trial: float


def main() -> None:
    """Prints the table."""
    tuning, metric_cost = (
        json.loads((_RESULTS / f"{name}.json").read_text())
        for name in ("tuning_times", "metric_cost")
    )
    print(table(tuning, metric_cost))


def core_hours(plan: Plan, measured: Measured) -> tuple[float, float]:
    """Returns core hours of the search for one title, and of its verification."""
    encodes = _ANCHOR_ENCODES + measured.encodes_a_trial * plan.trials
    a_frame = measured.encode_seconds + measured.decode_seconds
    # The original is looked at once, like an encode.
    frames = plan.searched_seconds * plan.frames_per_second
    search = encodes * plan.searched_seconds * _FRAME_RATE * a_frame
    search += (encodes + 1) * frames * plan.look_seconds
    search += (_ANCHOR_ENCODES + 1) * frames * plan.real_seconds
    verified = _TITLE_SECONDS * plan.frames_per_second * _VERIFIED_FRAMES
    looks = (_VERIFYING_ENCODES + 1) * min(verified, _MOST_VERIFIED_FRAMES)
    verification = _VERIFYING_ENCODES * _TITLE_SECONDS * _FRAME_RATE * a_frame
    return search / 3600, (verification + looks * plan.judge_seconds) / 3600


def measured_with(codec: str, tuning: dict[str, Any]) -> Measured:
    """Returns the mean of the 720p clips whose every encode was timed."""
    runs = [
        run
        for run in tuning["runs"]
        if run["codec"] == codec
        and "720p" in run["clip"]
        and "error" not in run
        and run["num_from_store"] == 0
    ]
    frames = [run["num_encodes"] * run["provenance"]["num_frames"] for run in runs]

    def a_frame(kind: str) -> float:
        pairs = zip(runs, frames, strict=True)
        return statistics.mean([float(run["seconds"][kind] / count) for run, count in pairs])

    return Measured(
        encode_seconds=a_frame("encode"),
        decode_seconds=a_frame("decode"),
        encodes_a_trial=statistics.mean(
            (run["num_encodes"] - _VERIFYING_ENCODES - _ANCHOR_ENCODES) / run["num_trials"]
            for run in runs
        ),
    )


def plans(milliseconds: dict[str, float], detector: str) -> dict[str, Plan]:
    """Returns what there is to choose from, each with all that is saved above it."""
    look = milliseconds[detector] / 1000
    learned = milliseconds["objects distorted"] / 1000
    everything = Plan(
        searched_seconds=_TITLE_SECONDS,
        trials=_TRIALS,
        frames_per_second=5,
        look_seconds=look,
        judge_seconds=look,
    )
    learned_steers = replace(
        everything, look_seconds=learned, judge_seconds=learned + look, real_seconds=look
    )
    pieces = replace(everything, searched_seconds=_PIECES_SECONDS)
    warm = replace(pieces, trials=_WARM_TRIALS)
    return {
        "search on the whole title": everything,
        "the same, the learned metric steers": learned_steers,
        "search on 8 pieces of 4 s (`--segments 8x4`)": pieces,
        f"and {_WARM_TRIALS} trials, from warm starts": warm,
        "and the learned metric alone (`--metric objects`)": replace(
            warm, look_seconds=learned, judge_seconds=learned
        ),
    }


def table(tuning: dict[str, Any], metric_cost: dict[str, Any]) -> str:
    """Returns the table in Markdown, with what it assumes."""
    (row,) = (
        row
        for one in metric_cost["machines"]
        if one["machine"]["processor"] == tuning["machine"]["processor"]
        and one["device"].startswith("cpu")
        for row in one["rows"]
        if row["size"] == "720p"
    )
    milliseconds = row["milliseconds_a_frame"]
    cases = [("x264", "yolov8n"), ("x264", "yolov8x"), ("x265", "yolov8n")]
    names = " | ".join(f"{codec}, {detector.upper()}" for codec, detector in cases)
    lines = [f"| core hours a title: search + verification (1,000 titles) | {names} |"]
    lines.append("|" + "---|" * (len(cases) + 1))
    for name in plans(milliseconds, "yolov8n"):
        cells = []
        for codec, detector in cases:
            plan = plans(milliseconds, detector)[name]
            search, verification = core_hours(plan, measured_with(codec, tuning))
            euro = (search + verification) * _TITLES * _EURO_A_CORE_HOUR
            cells.append(f"{_hours(search)} + {_hours(verification)} ({_thousands(euro)} €)")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    encodes = round(measured_with("x264", tuning).encodes_a_trial * _TRIALS + _ANCHOR_ENCODES)
    return "\n".join(lines) + (
        f"\n\nTitles of 1280x720 at {_FRAME_RATE} fps, usual presets; {encodes} encodes a search "
        f"with x264 and {_TRIALS} trials, {_VERIFYING_ENCODES} of the whole title to verify, on "
        f"{_MOST_VERIFIED_FRAMES} frames. Assumed: {_EURO_A_CORE_HOUR:.2f} € a core hour, and that "
        f"{_WARM_TRIALS} trials from warm starts do as well as {_TRIALS}.\n"
    )


def _hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}"


def _thousands(euro: float) -> str:
    return f"{euro:,.0f}" if euro < 1000 else f"{round(euro, -2):,.0f}"


if __name__ == "__main__":
    main()
