"""What is proposed after a few costs were told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from ratesight.codecs.settings import sorted_options
from ratesight.codecs.table import ENCODERS, Codec, OptionValue
from ratesight.optimizer.request import Sampler
from ratesight.optimizer.search.study import open_study
from ratesight.optimizer.search.study_storage import open_storage

Options = Mapping[str, OptionValue]


def search(
    folder: Path,
    cost: Callable[[Options], float | None],
    num_trials: int,
    *,
    codec: Codec = "x264",
    sampler: Sampler = "additive",
    fixed: Options | None = None,
    fps: Callable[[Options], float] | None = None,
    min_fps: float | None = None,
    num_under_way: int = 1,
    seed: int = 0,
) -> list[dict[str, OptionValue]]:
    """Runs a search in which what options cost is known, and returns what it tried."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = ENCODERS[codec]
    study = open_study(
        encoder,
        preset=encoder.default_preset,
        part="encoder",
        fixed=fixed or {},
        sampler=sampler,
        seed=seed,
        storage=open_storage(folder / "study.journal"),
        name="a search",
        min_fps=min_fps,
    )
    asked = []
    for number in range(num_trials + num_under_way - 1):
        if number < num_trials:
            asked.append(study.ask())
        if number >= num_under_way - 1:
            proposal = asked[number - num_under_way + 1]
            attributes = {} if fps is None else {"encode_fps": fps(proposal.options)}
            study.tell(proposal, cost(proposal.options), attributes)
    return [dict(proposal.options) for proposal in asked]


def amount(options: Options, name: str, default: float) -> float:
    value = options.get(name, default)
    assert not isinstance(value, str)
    return float(value)


def cost(options: Options) -> float:
    """As encoders are: a few options matter, one of them only where another one is on."""
    found = -0.15 * (options.get("psy-rd", 1.0) == 0)
    found += 0.3 * (amount(options, "qcomp", 0.6) - 0.8) ** 2 / 0.04 - 0.3
    found += 0.02 * (amount(options, "bframes", 3) - 3)
    if options.get("aq-mode", 1) != 0:
        found += 0.3 * abs(amount(options, "aq-strength", 1.0) - 0.5) - 0.15
    return found


def best_of(tried: list[dict[str, OptionValue]]) -> float:
    return min(cost(options) for options in tried)


def test_it_finds_what_matters_in_fewer_trials_than_others(tmp_path: Path) -> None:
    def median(sampler: Sampler) -> float:
        folders = [(tmp_path / f"{sampler} {seed}", seed) for seed in range(5)]
        return float(
            np.median(
                [
                    best_of(search(folder, cost, 20, sampler=sampler, seed=seed))
                    for folder, seed in folders
                ]
            )
        )

    ours, others = median("additive"), min(median("tpe"), median("random"))

    # The defaults cost 0, the best of all -0.66.
    assert ours < -0.5
    assert ours < others - 0.05


def test_an_option_that_depends_on_another_one_is_learnt(tmp_path: Path) -> None:
    tried = search(
        tmp_path,
        lambda options: 0.5 * abs(amount(options, "aq-strength", 1.0) - 0.4) - 0.3,
        18,
    )

    # The defaults and two of the three starts cost 0, the best there is -0.3.
    found = [0.5 * abs(amount(options, "aq-strength", 1.0) - 0.4) - 0.3 for options in tried[8:]]
    assert np.mean(found) < -0.15


def test_nothing_is_proposed_twice(tmp_path: Path) -> None:
    tried = search(tmp_path, cost, 40, num_under_way=4)

    assert len({sorted_options(options) for options in tried}) == len(tried)


def test_a_space_that_is_used_up_goes_on(tmp_path: Path) -> None:
    searched = [one.name for one in ENCODERS["x264"].options if one.search is not None]
    free = ("mbtree", "no-dct-decimate")
    fixed = {
        name: ENCODERS["x264"].option(name).default
        for name in searched
        if name not in free and not name.startswith(("roi", "deadzone"))
    }

    tried = search(tmp_path, lambda _: 0.0, 9, fixed=fixed)

    pairs = [tuple(options.get(name) for name in free) for options in tried]
    assert len(set(pairs[:5])) == 4
    assert len(pairs) == 9


def test_nothing_to_search_is_the_defaults_again(tmp_path: Path) -> None:
    fixed = {
        one.name: one.default
        for one in ENCODERS["x264"].options
        if one.search is not None and not one.name.startswith(("roi", "deadzone"))
    }

    tried = search(tmp_path, lambda _: 0.0, 3, fixed=fixed)

    assert tried == [fixed] * 3


def test_what_the_encoder_refused_is_not_proposed_again(tmp_path: Path) -> None:
    def cost_or_refusal(options: Options) -> float | None:
        return None if options.get("aq-mode", 1) == 0 else cost(options)

    tried = search(tmp_path, cost_or_refusal, 25)

    assert len({sorted_options(options) for options in tried}) == 25


def test_settings_that_are_too_slow_are_avoided(tmp_path: Path) -> None:
    def fps(options: Options) -> float:
        return 100.0 - 10 * amount(options, "bframes", 3)

    def cost_of_speed(options: Options) -> float:
        return cost(options) - 0.08 * amount(options, "bframes", 3)

    free = search(tmp_path / "free", cost_of_speed, 25, fps=fps)
    bound = search(tmp_path / "bound", cost_of_speed, 25, fps=fps, min_fps=60)

    def num_slow(tried: list[dict[str, OptionValue]]) -> int:
        return sum(fps(options) < 60 for options in tried[8:])

    assert num_slow(free) > 10
    assert num_slow(bound) < num_slow(free) / 2


def test_proposals_under_way_differ(tmp_path: Path) -> None:
    tried = search(tmp_path, cost, 8, num_under_way=4)

    assert len({sorted_options(options) for options in tried[4:]}) == 4


@pytest.mark.parametrize("codec", ENCODERS)
def test_costs_of_quality_are_learnt_as_those_of_rate_are(tmp_path: Path, codec: Codec) -> None:
    # A target rate: what is lost is in points of quality, a hundredth is much.
    name = ENCODERS[codec].starts[0][0][0]

    tried = search(tmp_path, lambda options: -0.002 * (name in options), 16, codec=codec)

    assert sum(name in options for options in tried[8:]) >= 6
