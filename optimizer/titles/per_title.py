"""Per title: curves over encoders, settings and frame heights, and the ladder they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ...codecs.address import clip_name
from ...codecs.command import command_notes
from ...codecs.errors import ClipError, EncodeError, SettingsError
from ...codecs.source import load_source
from ...metrics.errors import NoObjectsError
from ...metrics.feature_file import FeatureFile, open_feature_file
from ..contestants import ClipSkipped, CurveMeasured
from ..curves.hull import HullPoint, convex_hull
from ..curves.interval import quality_interval
from ..errors import CurveError
from ..measuring.bench import Measurement, settings_json
from ..measuring.machines import Machines, load_machines
from ..measuring.measure import Measurer, open_measurer
from ..measuring.store import open_store
from ..request import num_jobs_here
from ..search.candidate import Candidate, measure_over
from ..search.clip_benches import ClipBenches
from ..search.scale import measure_scale
from .curves import fit_variant, measure_title
from .fixed_ladder import FixedChoice, choose_fixed, compare_fixed, far_behind
from .ladder import FixedRung, FixedTitle, Keeps, PerTitle, Rung, TitleLadder
from .request import PerTitleRequest
from .rungs import OpenTitle, make_rungs

# What is wrong with one title, and no reason to lose the others.
_OF_ONE_TITLE = (ClipError, EncodeError, SettingsError, NoObjectsError)

PerTitleEvent = CurveMeasured | ClipSkipped | TitleLadder | PerTitle


@dataclass(slots=True, kw_only=True)
class _Title:
    """What is known of a title while others are measured.

    Attributes:
        candidates: By the name of the variant; variants of one size share one.
        given_up: Names of variants.
        quality_range: That curves reach over.
    """

    clip: Path
    candidates: dict[str, Candidate]
    given_up: set[str]
    quality_range: tuple[float, float]
    ladder: TitleLadder


def recommend_events(request: PerTitleRequest) -> Iterator[PerTitleEvent]:
    """Makes a ladder of each title and yields what happens; the outcome is last.

    A clip that cannot be used, on which the machine sees nothing, or that an encoder fails on, is
    skipped and said. All measurements are stored, those of the verification too: a run that is
    started again goes on where it was.

    Raises:
        WeightsError: There is nothing to measure quality with.
        CurveError: No clip could be measured.
        ScratchError, StoreError: There is no room.
    """
    with ExitStack() as stack:
        store = stack.enter_context(open_store(request.store))
        feature_file = stack.enter_context(open_feature_file())
        machines = load_machines(request.machine, feature_file)
        measurer = stack.enter_context(open_measurer(store, num_jobs_here(request.num_jobs)))
        titles: list[_Title] = []
        skipped: list[ClipSkipped] = []
        for clip in request.clips:
            try:
                with _open(request, clip, machines, feature_file, measurer) as opened:
                    title = _climb(request, opened, measurer)
            except _OF_ONE_TITLE as error:
                skipped.append(ClipSkipped.of(clip, error))
                yield skipped[-1]
                continue
            titles.append(title)
            yield from title.ladder.curves
            yield title.ladder
        if not titles:
            raise CurveError(f"no clip could be measured; {skipped[0].reason}")
        fixed: tuple[FixedRung, ...] = ()
        not_fixed: tuple[str, ...] = ()
        not_compared: str | None = None
        if len(titles) > 1:

            def reopen(title: _Title) -> AbstractContextManager[OpenTitle]:
                return _open(request, title.clip, machines, feature_file, measurer)

            not_fixed = far_behind(
                [one.name for one in request.variants], [one.given_up for one in titles]
            )
            try:
                fixed = tuple(_compare_fixed(request, titles, not_fixed, reopen, measurer))
            except _OF_ONE_TITLE as error:
                not_compared = str(error)  # the ladders are made, and stay
        yield PerTitle(
            titles=tuple(one.ladder for one in titles),
            skipped=tuple(skipped),
            fixed=fixed,
            not_fixed=not_fixed,
            not_compared=not_compared,
            tolerance=request.tolerance,
            machine_version=machines.own.version,
            real_machine=None if machines.real is None else machines.real.version,
            num_encodes=measurer.spent.num_encodes,
            num_from_store=measurer.spent.num_from_store,
        )


@contextmanager
def _open(
    request: PerTitleRequest,
    clip: Path,
    machines: Machines,
    feature_file: FeatureFile,
    measurer: Measurer,
) -> Iterator[OpenTitle]:
    """Decodes a title and looks at its frames: some to choose by, others to verify on."""
    with ExitStack() as stack:
        stack.callback(feature_file.clear)
        source = stack.enter_context(
            load_source(
                clip,
                max_seconds=request.max_seconds,
                frame_rate=request.frame_rate,
                limits=request.limits,
            )
        )
        set_up = ClipBenches(looks=request, source=source, machines=machines, measurer=measurer)
        searched = set_up.to_search()
        yield OpenTitle(
            clip=clip,
            source=source,
            searched=searched,
            verified=set_up.to_verify(searched),
            notes=(*source.notes, *set_up.notes),
        )


def _climb(request: PerTitleRequest, opened: OpenTitle, measurer: Measurer) -> _Title:
    """Measures the curves of one title and makes its ladder."""
    fitting = {one.name: fit_variant(request, one, opened.source) for one in request.variants}
    own = {one.name: Candidate(settings=one.settings) for one in fitting.values()}
    candidates, quality_range = list(own.values()), request.quality_range
    scale = measure_scale(candidates[0], quality_range, opened.searched, measurer)
    if scale is not None:
        quality_range = scale.own_range(quality_range)
    given_up = measure_title(quality_range, opened.searched.own, measurer, candidates)
    alive = {name: one for name, one in own.items() if one not in given_up}
    rungs = make_rungs(request, opened, alive, scale, measurer)
    curves = tuple(
        CurveMeasured(
            clip=clip_name(opened.clip),
            contestant=name,
            points=tuple(one.points),
            intervals=tuple(
                quality_interval(opened.searched.own, measured)
                for _, measured in sorted(one.measurements.items())
            ),
        )
        for name, one in own.items()
    )
    usual = sum(len(one.measurements) for one in alive.values()) / len(alive)
    behind = [one for name, one in own.items() if name not in alive]
    return _Title(
        clip=opened.clip,
        candidates={name: own[one.name] for name, one in fitting.items()},
        given_up={name for name, one in fitting.items() if one.name not in alive},
        quality_range=quality_range,
        ladder=TitleLadder(
            clip=clip_name(opened.clip),
            clip_content_sha256=opened.source.content_sha256,
            width=opened.source.width,
            height=opened.source.height,
            curves=curves,
            given_up=tuple(name for name in own if name not in alive),
            num_encodes_spared=round(sum(max(0, usual - len(one.measurements)) for one in behind)),
            hull=convex_hull(
                HullPoint(contestant=curve.contestant, point=point)
                for curve in curves
                for point in curve.points
            ),
            rungs=tuple(rungs),
            notes=(
                *opened.notes,
                *_scale_notes(rungs),
                *command_notes(opened.source, has_ffmpeg=True),
            ),
        ),
    )


def _scale_notes(rungs: Sequence[Rung]) -> list[str]:
    """Returns what a reader must know of qualities that are the real machine's."""
    told = [
        f"{rung.target_quality:g} is {rung.metric_target_quality:.3f}"
        for rung in rungs
        if rung.metric_target_quality is not None and rung.chosen is not None
    ]
    return [f"quality as the real machine has it, by the metric: {', '.join(told)}"] if told else []


def _compare_fixed(
    request: PerTitleRequest,
    titles: Sequence[_Title],
    not_fixed: Sequence[str],
    reopen: Callable[[_Title], AbstractContextManager[OpenTitle]],
    measurer: Measurer,
) -> Iterator[FixedRung]:
    """Chooses single settings on all curves, measures them on every title, and compares."""
    variants = {one.name: one for one in request.variants if one.name not in not_fixed}
    for title in titles:
        # Variants of one size share a candidate.
        behind = {title.candidates[name]: None for name in variants if name in title.given_up}
        if behind:
            # Else the single setting would lose for want of encodes.
            with reopen(title) as opened:
                measure_over(opened.searched.own, measurer, list(behind), *title.quality_range)
    choices: dict[tuple[float, Keeps], FixedChoice | None] = {}
    for quality in sorted(request.qualities, reverse=True):
        reaching = _reaching(titles, quality)
        if len(reaching) > 1:
            curves = {name: [one.candidates[name] for one, _ in reaching] for name in variants}
            targets = [rung.choice_quality for _, rung in reaching]
            for keeps in get_args(Keeps):
                choices[quality, keeps] = choose_fixed(curves, targets, keeps)
    measured: dict[str, dict[FixedChoice, Measurement]] = {}
    for title in titles:
        with reopen(title) as opened:
            measured[title.ladder.clip] = _measure_fixed(title, choices.values(), opened, measurer)
    for (quality, keeps), choice in choices.items():
        if choice is None:
            yield FixedRung(target_quality=quality, keeps=keeps, found=None)
            continue
        rows = []
        for title, rung in _reaching(titles, quality):
            one, own = measured[title.ladder.clip][choice], rung.chosen
            assert own is not None
            is_real = own.real_quality is not None
            wanted = rung.target_quality if is_real else rung.choice_quality
            rows.append(
                FixedTitle(
                    clip=title.ladder.clip,
                    enough_quality=wanted - request.tolerance,
                    rate_kbps=one.rate_kbps,
                    quality=one.scores.quality,
                    own_rate_kbps=own.rate_kbps,
                    own_quality=own.quality if own.real_quality is None else own.real_quality,
                    change_percent=(own.rate_kbps / one.rate_kbps - 1) * 100,
                )
            )
        found = compare_fixed(
            choice,
            settings_json(Candidate(settings=variants[choice.contestant].settings).at(choice.crf)),
            rows,
        )
        yield FixedRung(target_quality=quality, keeps=keeps, found=found)


def _reaching(titles: Sequence[_Title], quality: float) -> list[tuple[_Title, Rung]]:
    """Returns the titles that have a rung at a quality, with it."""
    return [
        (title, rung)
        for title in titles
        for rung in title.ladder.rungs
        if rung.target_quality == quality and rung.chosen is not None
    ]


def _measure_fixed(
    title: _Title,
    choices: Iterable[FixedChoice | None],
    opened: OpenTitle,
    measurer: Measurer,
) -> dict[FixedChoice, Measurement]:
    """Measures the single settings on a title as its own rungs are verified.

    By the real machine where that verifies the rungs.
    """
    wanted = {one for one in choices if one is not None}
    is_real = any(
        rung.chosen is not None and rung.chosen.real_quality is not None
        for rung in title.ladder.rungs
    )
    bench = opened.verified.real if is_real else opened.verified.own
    assert bench is not None

    def measure(one: FixedChoice) -> Measurement:
        settings = title.candidates[one.contestant].at(one.crf)
        return measurer.measure(bench, settings)[0]

    return dict(zip(wanted, measurer.pool.map(measure, wanted), strict=True))
