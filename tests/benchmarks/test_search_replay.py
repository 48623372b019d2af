from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest
from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.table import ENCODERS
from ratesight.optimizer.search import candidate


@pytest.fixture(scope="module")
def benchmarks(benchmark: Callable[[str], ModuleType]) -> dict[str, ModuleType]:
    """The modules of the replay, by name."""
    names = ("search_grid", "search_table", "search_ours", "search_plain", "search_replay")
    return {name: benchmark(name) for name in names}


_VALUES = {"aq-mode": (0, 1), "psy-rd": (0.0, 1.0), "bframes": (3, 8)}
# What each value that is not the default saves, in log rate.
_SAVED = {"aq-mode": 0.10, "psy-rd": 0.06, "bframes": -0.05}


@pytest.fixture(scope="module")
def table(benchmarks: Mapping[str, ModuleType]) -> Any:
    """Smooth curves of eight combinations; each saving is the same at every quality."""
    rows = {}
    for chosen in benchmarks["search_grid"].combinations(ENCODERS["x264"], _VALUES):
        saved = sum(_SAVED[name] for name in chosen)
        rows[sorted_options(chosen)] = [
            (float(crf), 4000 * math.exp(-0.12 * crf - saved), 1 / (1 + math.exp((crf - 34) / 4)))
            for crf in range(12, 52, 3)
        ]
    return benchmarks["search_table"].make_table(
        clip="made.mp4", codec="x264", target_quality=0.85, values=_VALUES, rows=rows
    )


_BEST = (("aq-mode", 0), ("psy-rd", 0.0))


class TestGrid:
    @pytest.mark.parametrize("codec", ENCODERS)
    def test_combinations_are_settings_that_the_encoder_takes(
        self, benchmarks: Mapping[str, ModuleType], codec: str
    ) -> None:
        encoder = ENCODERS[codec]  # type: ignore[index]  # its own keys
        grid = benchmarks["search_grid"]
        found = list(grid.combinations(encoder, grid.VALUES[codec]))
        assert {} in found
        assert len({sorted_options(options) for options in found}) == len(found) == 48
        for options in found:
            EncodeSettings(
                codec=encoder.codec,
                preset=encoder.default_preset,
                rate_control=Crf(value=30),
                options=sorted_options(options),
            )

    def test_conditions_are_honoured(self, benchmarks: Mapping[str, ModuleType]) -> None:
        found = benchmarks["search_grid"].combinations(
            ENCODERS["x264"], {"aq-mode": (0, 1), "aq-strength": (0.4, 1.0)}
        )
        assert list(found) == [{"aq-mode": 0}, {"aq-strength": 0.4}, {}]

    def test_published_grids_are_complete(self, benchmarks: Mapping[str, ModuleType]) -> None:
        grid = benchmarks["search_grid"]
        files = sorted(grid.GRIDS.glob("*.json"))
        assert files
        for file in files:
            codec = json.loads(file.read_text())["codec"]
            # Raises where a combination does not cross the target.
            found = benchmarks["search_table"].read_table(file, grid.VALUES[codec])
            wanted = [
                sorted_options(one) for one in grid.combinations(ENCODERS[codec], found.values)
            ]
            assert set(found.combinations) == set(wanted)
            assert sum(len(one.crfs) for one in found.combinations.values()) >= 200
            _, quality = found.combinations[()].at(grid.TARGET_CRF[codec])
            assert min(quality, 0.95) == pytest.approx(found.target_quality, abs=0.02)


class TestTable:
    def test_between_measured_crfs_it_is_linear(self, table: Any) -> None:
        left, right, between = (table.combinations[()].at(crf) for crf in (24, 27, 25))
        for number in (0, 1):
            expected = left[number] + (right[number] - left[number]) / 3
            assert between[number] == pytest.approx(expected)

    def test_beyond_the_last_crf_it_goes_on(self, table: Any) -> None:
        log_rate, quality = table.combinations[()].at(57)
        assert log_rate == pytest.approx(math.log(4000) - 0.12 * 57)
        assert quality == 0

    def test_the_truth_is_the_rate_at_the_target(self, table: Any) -> None:
        assert table.best == _BEST
        assert table.excess(_BEST) == 0
        assert table.excess(()) == pytest.approx(math.exp(0.16) - 1)
        assert [table.num_within(excess) for excess in (0.01, 0.06, 0.07)] == [1, 2, 3]

    def test_a_target_out_of_reach_is_refused(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        for target in (0.9999, 0.0001):
            with pytest.raises(ValueError, match=f"must cross the target quality {target:g}"):
                table.combinations[()].rate_at(target)

    def test_what_is_needed_is_to_stay_near(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        step, needed = (benchmarks["search_table"].__dict__[n] for n in ("Step", "encodes_needed"))
        steps = [step(3, None), step(5, _BEST), step(7, ()), step(9, _BEST), step(11, _BEST)]
        assert needed(table, steps, 0.03) == 9
        assert needed(table, steps, 0.2) == 5
        assert needed(table, steps[:3], 0.03) is None


class TestOurs:
    def test_finds_the_best_and_counts_each_encode_once(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        ours = benchmarks["search_ours"]
        steps = ours.replay_ours(table, 3, ours.Ours(), (1, 8, 20))
        assert steps[0].options == ()
        assert steps[-1].options == _BEST
        # The defaults' curve alone, then seven others at five CRFs at most. A longer run can
        # take fewer encodes: its leaders may have been measured often already.
        assert 5 <= steps[0].num_encodes <= 9
        for step in steps[1:]:
            assert steps[0].num_encodes + 7 <= step.num_encodes <= 9 + 7 * 5

    def test_a_shorter_search_is_the_beginning_of_a_longer_one(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        ours = benchmarks["search_ours"]
        trials = (1, 4, 7, 12)
        steps = ours.replay_ours(table, 1, ours.Ours(), trials)
        assert steps == [ours.replay_ours(table, 1, ours.Ours(), (number,))[0] for number in trials]

    def test_who_is_far_ahead_needs_no_play_off(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        ours = benchmarks["search_ours"]
        always = ours.Ours(constants=(("search._CLOSE_COST", math.inf),))
        (without,), (with_it,) = (
            ours.replay_ours(table, 3, variant, (8,)) for variant in (ours.Ours(), always)
        )
        assert without.options == with_it.options == _BEST
        assert without.num_encodes < with_it.num_encodes

    def test_a_seed_gives_one_search(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        ours = benchmarks["search_ours"]
        variant = ours.Ours(sampler="random", starts=False)
        first, again = (ours.replay_ours(table, 5, variant, (6,)) for _ in range(2))
        assert first == again

    def test_constants_are_changed_for_a_variant_only(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        ours = benchmarks["search_ours"]
        before = candidate.HOPELESS_COST
        # What is given up at once is measured once.
        hopeless = ours.Ours(constants=(("candidate.HOPELESS_COST", -1.0),))
        patient = ours.Ours(constants=(("candidate.HOPELESS_COST", 1.0),))
        few, many = (
            ours.replay_ours(table, 0, variant, (8,))[0].num_encodes
            for variant in (hopeless, patient)
        )
        assert few < many
        assert before == candidate.HOPELESS_COST

    def test_starts_that_the_grid_lacks_are_left_out(
        self, benchmarks: Mapping[str, ModuleType]
    ) -> None:
        encoder = benchmarks["search_ours"].grid_encoder(ENCODERS["x264"], _VALUES)
        searched = {option.name for option in encoder.options if option.search is not None}
        assert searched == set(_VALUES)
        assert all(dict(start).get("aq-mode", 1) in (0, 1) for start in encoder.starts)
        assert len(encoder.starts) == len(ENCODERS["x264"].starts) - 1


class TestOthers:
    @pytest.mark.parametrize(
        ("sampler", "budget"), [("random", 300), ("tpe", 60), ("nsga2", 120), ("cmaes", 60)]
    )
    def test_find_the_best_with_encodes_enough(
        self, benchmarks: Mapping[str, ModuleType], table: Any, sampler: str, budget: int
    ) -> None:
        steps = benchmarks["search_plain"].replay_plain(table, 0, sampler, budget)
        assert len(steps) <= 2 * budget
        assert steps[-1].num_encodes <= budget
        assert table.excess(steps[-1].options) < 0.07
        needed = benchmarks["search_table"].encodes_needed(table, steps, 0.2)
        assert needed is not None

    def test_nothing_is_recommended_that_misses_the_quality(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        # At the CRF that x264 takes by itself this clip keeps less than that.
        target = table.combinations[()].at(23.0)[1] + 0.001
        harder = benchmarks["search_table"].make_table(
            clip=table.clip,
            codec=table.codec,
            target_quality=target,
            values=_VALUES,
            rows={
                options: [
                    (crf, math.exp(log_rate), quality)
                    for crf, log_rate, quality in zip(
                        one.crfs, one.log_rates, one.qualities, strict=True
                    )
                ]
                for options, one in table.combinations.items()
            },
        )
        first = benchmarks["search_plain"].replay_plain(harder, 0, "random", 1)
        assert first[0].options is None

    def test_a_grid_takes_all_crfs_of_what_lies_before_the_best(
        self, benchmarks: Mapping[str, ModuleType], table: Any
    ) -> None:
        order, num_crfs = list(table.combinations), 14
        for seed in range(3):
            steps = benchmarks["search_plain"].replay_grid(table, seed)
            assert steps[-1].num_encodes == len(order) * num_crfs
            needed = benchmarks["search_table"].encodes_needed(table, steps, 0.03)
            assert needed in range(num_crfs, len(order) * num_crfs + 1, num_crfs)
