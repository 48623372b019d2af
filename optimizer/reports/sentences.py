"""What a run found, in sentences and rows that the terminal and the page share."""

from __future__ import annotations

from ..curves.bd_rate import saving_text
from ..curves.interval import RateChange
from ..recommendation import MachinesUsed, PerShot, Recommendation
from .saving import saving_by_search, saving_of

# What is said of a printed ffmpeg command.
ONE_THREAD = (
    "encodes on one thread, as was measured: with more it is quicker, of slightly other size and "
    "quality"
)


def headline(recommendation: Recommendation) -> str:
    """Returns what is saved, in one sentence with its interval."""
    at = at_text(recommendation)
    if recommendation.keeps_defaults:
        if recommendation.shots is not None:
            return f"Options save nothing {at}: keep the defaults, with a CRF for each shot"
        return f"Nothing saved {at}: keep the encoder's defaults"
    saving = saving_of(recommendation)
    return f"{saving_text(saving.percent, saving.interval_percent)} rate {at}"


def at_text(recommendation: Recommendation) -> str:
    """Returns where the rates are compared."""
    if recommendation.target_rate_kbps is not None:
        return f"at the quality reached with {recommendation.target_rate_kbps:g} kbit/s"
    if recommendation.told_real is not None:
        quality = saving_of(recommendation).quality
        return f"at task quality {quality:.3f} of the real machine"
    return f"at task quality {recommendation.target_quality:g}"


def bd_rate_text(recommendation: Recommendation) -> str | None:
    """Returns the BD-rate with its interval and qualities; None where nothing is compared."""
    saving = saving_of(recommendation)
    if recommendation.keeps_defaults or saving.bd_rate_percent is None:
        return None
    assert saving.bd_rate_qualities is not None
    low, high = saving.bd_rate_qualities
    text = saving_text(saving.bd_rate_percent, saving.bd_rate_interval_percent)
    return f"{text} BD-rate over task quality {low:.3f} to {high:.3f}"


def examined_rows(recommendation: Recommendation) -> list[tuple[str, str, str]]:
    """Returns what is measured of the defaults and of the winner: name and both as text."""
    anchor, winner = recommendation.anchor, recommendation.winner
    saving = saving_of(recommendation)
    at = "target" if recommendation.told_real is None else "equal quality"
    rows = [
        (f"rate at {at}, kbit/s", saving.anchor_rate_kbps, saving.rate_kbps, ".1f"),
        ("CRF", anchor.crf, winner.crf, "g"),
        ("measured there: kbit/s", anchor.rate_kbps, winner.rate_kbps, ".1f"),
        ("task quality", anchor.quality, winner.quality, ".4f"),
        ("task quality, 5th percentile of frames", anchor.quality_p5, winner.quality_p5, ".4f"),
        ("the real machine's quality", anchor.real_quality, winner.real_quality, ".4f"),
        ("mAP 50-95", anchor.map50_95, winner.map50_95, ".4f"),
        ("mAP 50", anchor.map50, winner.map50, ".4f"),
        ("precision", anchor.precision, winner.precision, ".4f"),
        ("recall", anchor.recall, winner.recall, ".4f"),
        ("PSNR, dB", anchor.psnr_db, winner.psnr_db, ".2f"),
        ("SSIM", anchor.ssim, winner.ssim, ".4f"),
        ("XPSNR, dB", anchor.xpsnr_db, winner.xpsnr_db, ".2f"),
        ("encode speed on one thread, fps", anchor.encode_fps, winner.encode_fps, ".1f"),
    ]
    return [
        (name, format(of_anchor, form), format(of_winner, form))
        for name, of_anchor, of_winner, form in rows
        if of_anchor is not None and of_winner is not None
    ]


def machine_text(used: MachinesUsed) -> str:
    """Returns what the search went by, and who found its regions."""
    weights = "" if used.metric_sha256 is None else f" (weights {used.metric_sha256})"
    return (
        f"metric {used.metric}{weights}, regions by {used.regions_by} "
        f"(weights {used.regions_sha256})"
    )


def real_lines(recommendation: Recommendation) -> list[str]:
    """Returns what the real machine says of a search by a learned metric."""
    real = recommendation.real
    if real is None:
        return []
    target, metric_target = recommendation.target_quality, recommendation.metric_target_quality
    lines = []
    if target is not None and metric_target is not None:
        lines.append(moved_target_text(target, metric_target))
    expected = "what to expect is not known, since it saw nothing on the frames of the search"
    if real.expected_quality is not None:
        expected = (
            f"{real.expected_quality:.4f} expected (gap {real.quality_gap:+.4f}, tolerance "
            f"{recommendation.tolerance:g})"
        )
    lines.append(f"the real machine says {real.quality:.4f}, {expected}")
    if not recommendation.keeps_defaults:
        said = saving_by_search(recommendation)
        lines.append(
            f"the metric itself says {saving_text(said.percent, said.interval_percent)} rate; it "
            f"steered, and is not what to quote"
        )
    return lines


def moved_target_text(quality: float, metric_quality: float) -> str:
    """Returns how a target of the real machine reads on the scale of the metric that steers."""
    return (
        f"target quality {quality:g} of the real machine: on this clip the metric says "
        f"{metric_quality:.3f} there"
    )


def contender_lines(recommendation: Recommendation) -> list[str]:
    """Returns what each verified contender saves, and what the other machines say of it."""
    lines = []
    for one in recommendation.contenders:
        what = {"options": "options alone", "regions": "with regions"}[one.role]
        compared = [
            ("against the defaults", one.change, one.real_change, one.second_change),
            (
                "against options alone",
                one.change_from_options,
                one.real_change_from_options,
                one.second_change_from_options,
            ),
        ]
        for against, change, real, second in compared:
            if change is None or (against == "against the defaults" and _is_alone(recommendation)):
                continue
            own = "" if real is None else "metric "
            seen = (("real machine ", real), (own, change), ("second detector ", second))
            told = [f"{name}{bd_rate_of(other)}" for name, other in seen if other is not None]
            lines.append(f"{what} {against}: BD-rate {', '.join(told)}")
    return lines


SHOT_COLUMNS = ("shot", "first frame", "frames", "objects", "CRF", "kbit/s")


def shot_rows(found: PerShot) -> list[tuple[str, ...]]:
    """Returns a row a shot of ``SHOT_COLUMNS``."""
    return [
        (
            str(number),
            str(shot.start_frame),
            str(shot.num_frames),
            str(shot.num_objects),
            f"{shot.crf:g}",
            f"{shot.rate_kbps:.1f}",
        )
        for number, shot in enumerate(found.shots, 1)
    ]


def shot_lines(found: PerShot) -> list[str]:
    """Returns what a CRF for each shot saves against one for all of them."""
    change = found.told_change
    at_target = saving_text(change.percent, (change.low_percent, change.high_percent))
    by = "" if found.real_change is None else " by the real machine,"
    lines = [
        f"a CRF for each shot:{by} {at_target} rate at equal quality against one CRF, "
        f"BD-rate {bd_rate_of(change)}",
        f"measured there: {found.rate_kbps:.1f} kbit/s, task quality {found.quality:.4f}",
    ]
    for name, other in (
        ("the metric itself", None if found.real_change is None else found.change),
        ("second detector", found.second_change),
    ):
        if other is not None:
            lines.append(f"{name}: BD-rate {bd_rate_of(other)}")
    return lines


def _is_alone(recommendation: Recommendation) -> bool:
    """Returns whether the headline says all there is to say."""
    only = recommendation.contenders
    return len(only) == 1 and only[0].second_change is None


def bd_rate_of(
    change: RateChange | None, nothing: str = "none, the curves share too little quality"
) -> str:
    """Returns the BD-rate of a change with its interval; a text where there is none."""
    if change is None or change.bd_rate is None:
        return nothing
    return saving_text(change.bd_rate.percent, change.bd_rate_interval_percent)
