"""What is proposed, in which order, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from ratesight.codecs.roi import RegionCoding, region_coding
from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.table import ENCODERS, Codec, Floats, OptionValue
from ratesight.optimizer.errors import StoreError
from ratesight.optimizer.request import Sampler
from ratesight.optimizer.search.option_space import Part
from ratesight.optimizer.search.study import Study, open_study
from ratesight.optimizer.search.study_storage import open_storage

CODECS: tuple[Codec, ...] = tuple(ENCODERS)
SOME_PRESETS = [
    ("x264", "medium"),
    ("x264", "placebo"),
    ("x264", "veryslow"),
    ("x264", "ultrafast"),
    ("x265", "medium"),
    ("x265", "fast"),
    ("x265", "slow"),
    ("svtav1", "8"),
    ("svtav1", "0"),
    ("svtav1", "12"),
]


def study(
    folder: Path,
    codec: Codec = "x264",
    *,
    preset: str | None = None,
    part: Part = "encoder",
    fixed: Mapping[str, OptionValue] | None = None,
    sampler: Sampler = "tpe",
    seed: int = 0,
    name: str = "a search",
    idle_cost: float = 0.0,
) -> Study:
    encoder = ENCODERS[codec]
    return open_study(
        encoder,
        preset=preset or encoder.default_preset,
        part=part,
        fixed=fixed or {},
        sampler=sampler,
        seed=seed,
        storage=open_storage(folder / "study.journal"),
        name=name,
        idle_cost=idle_cost,
    )


def cost_of(options: Mapping[str, OptionValue]) -> float:
    """A cost that a sampler can learn: every option away from its default is a little worse."""
    return sum(len(name) for name in options) / 100


def run(running: Study, num_trials: int, *, num_under_way: int = 1) -> list[dict[str, OptionValue]]:
    """Asks and tells in order, with some proposals under way."""
    asked = []
    for number in range(num_trials + num_under_way - 1):
        if number < num_trials:
            asked.append(running.ask())
        if number >= num_under_way - 1:
            proposal = asked[number - num_under_way + 1]
            running.tell(proposal, cost_of(proposal.options), {"num_points": 3})
    return [dict(proposal.options) for proposal in asked]


def kept(folder: Path, name: str = "a search") -> list[FrozenTrial]:
    """What another program that opens the journal sees."""
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name=name, storage=storage).trials


@pytest.mark.parametrize("sampler", ["additive", "tpe", "random"])
@pytest.mark.parametrize(("codec", "preset"), SOME_PRESETS)
def test_every_proposal_is_an_order_that_the_encoder_takes(
    tmp_path: Path, codec: Codec, preset: str, sampler: Sampler
) -> None:
    encoder = ENCODERS[codec]

    proposals = run(study(tmp_path, codec, preset=preset, sampler=sampler), 30)

    for options in proposals:
        # Names, ranges, presets and conditions are checked where settings are made.
        EncodeSettings(
            codec=codec, preset=preset, rate_control=Crf(value=30), options=sorted_options(options)
        )
        for name, value in options.items():
            searched = encoder.option(name).search
            assert searched is not None
            assert searched.contains(value) or value == encoder.option(name).default
            if isinstance(searched, Floats):
                assert len(f"{value}") <= 5, "no binary dust in the command"
    assert len({tuple(sorted_options(options)) for options in proposals}) > 20


def test_the_gaussian_process_proposes_orders_that_the_encoder_takes(tmp_path: Path) -> None:
    proposals = run(study(tmp_path, "svtav1", sampler="gp"), 11)

    for options in proposals:
        EncodeSettings(
            codec="svtav1",
            preset="8",
            rate_control=Crf(value=30),
            options=sorted_options(options),
        )


@pytest.mark.parametrize("sampler", ["additive", "tpe", "random", "gp"])
@pytest.mark.parametrize("codec", CODECS)
def test_the_defaults_come_first_then_the_starts(
    tmp_path: Path, codec: Codec, sampler: Sampler
) -> None:
    starts = [dict(start) for start in ENCODERS[codec].starts]

    proposals = run(study(tmp_path, codec, sampler=sampler), 1 + len(starts))

    assert proposals == [{}, *starts]


@pytest.mark.parametrize("codec", CODECS)
def test_at_each_preset_the_first_proposal_is_what_the_preset_sets(
    tmp_path: Path, codec: Codec
) -> None:
    # That saying so changes no byte, tests of the table say.
    encoder = ENCODERS[codec]
    for preset in encoder.presets:
        first = study(tmp_path, codec, preset=preset, name=preset).ask()

        assert first.options == {}
        assert len(first.parameters) > 5
        for name, value in first.parameters.items():
            assert value == encoder.default_at(preset, name)


def test_what_a_preset_sets_is_left_out_and_the_usual_preset_s_value_is_said(
    tmp_path: Path,
) -> None:
    running = study(tmp_path, "x265", preset="slow", sampler="random")

    proposals = [running.ask() for _ in range(40)]

    for proposal in proposals:
        level = proposal.parameters["rdoq-level"]
        assert proposal.options.get("rdoq-level", 2) == level
        assert ("rdoq-level" in proposal.options) == (level != 2)
        if level:
            assert proposal.options.get("psy-rdoq", 1.0) == proposal.parameters["psy-rdoq"]
    assert {proposal.parameters["rdoq-level"] for proposal in proposals} == {0, 1, 2}


FIXED: list[tuple[Codec, dict[str, OptionValue]]] = [
    ("x264", {"bframes": 0, "psy-rd": 0.5}),
    ("x264", {"trellis": 0}),
    ("x264", {"aq-strength": 1.4}),
    ("x264", {"mbtree": 0, "pbratio": 1.2}),
    ("x265", {"aq-mode": 0}),
    ("x265", {"limit-sao": 1}),
    ("x265", {"rdoq-level": 2, "psy-rdoq": 1.0}),
    ("svtav1", {"tune": 4}),
    ("svtav1", {"tf-strength": 1, "keyint": 50}),
    ("svtav1", {"enable-variance-boost": 1, "variance-octile": 3}),
]


@pytest.mark.parametrize(("codec", "fixed"), FIXED)
def test_fixed_options_stay_and_bind_the_others(
    tmp_path: Path, codec: Codec, fixed: dict[str, OptionValue]
) -> None:
    running = study(tmp_path, codec, fixed=fixed)

    proposals = run(running, 30)

    for options in proposals:
        assert {name: options[name] for name in fixed} == fixed
        EncodeSettings(
            codec=codec,
            preset=ENCODERS[codec].default_preset,
            rate_control=Crf(value=30),
            options=sorted_options(options),
        )
    assert proposals[0] == fixed
    assert not any(fixed.keys() & trial.params.keys() for trial in kept(tmp_path))


@pytest.mark.parametrize("sampler", ["additive", "tpe", "random", "gp"])
def test_the_same_seed_proposes_the_same(tmp_path: Path, sampler: Sampler) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()

    first, again, other = (
        run(study(folder, sampler=sampler, seed=seed), 10, num_under_way=4)
        for folder, seed in zip(folders, (3, 3, 4), strict=True)
    )

    num_known = 1 + len(ENCODERS["x264"].starts)
    assert first == again
    assert first[:num_known] == other[:num_known]
    assert first[num_known:] != other[num_known:]


def test_samplers_learn_from_what_they_are_told(tmp_path: Path) -> None:
    def flags(folder: Path, sampler: Sampler) -> float:
        folder.mkdir()
        running = study(folder, sampler=sampler)
        told = []
        for _ in range(40):
            proposal = running.ask()
            told.append("no-dct-decimate" in proposal.options)
            running.tell(proposal, float(not told[-1]), {})
        return sum(told[-20:]) / 20

    assert flags(tmp_path / "gp", "gp") > 0.8
    assert flags(tmp_path / "tpe", "tpe") > 0.8
    assert 0.2 < flags(tmp_path / "random", "random") < 0.8


def test_the_journal_holds_what_is_finished(tmp_path: Path) -> None:
    running = study(tmp_path)
    first, second, third = running.ask(), running.ask(), running.ask()
    assert [proposal.trial.number for proposal in (first, second, third)] == [0, 1, 2]

    running.tell(first, 0.25, {"num_points": 7})
    running.tell(second, None, {"num_points": 0})

    trials = kept(tmp_path)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert trials[0].value == 0.25
    assert trials[0].user_attrs == {"num_points": 7}
    assert trials[1].params["psy-rd"] == 0


def test_a_refused_proposal_does_not_stop_the_search(tmp_path: Path) -> None:
    running = study(tmp_path)
    for _ in range(15):
        running.tell(running.ask(), None, {})

    run(running, 3)

    assert len(kept(tmp_path)) == 18


def test_a_second_start_keeps_what_is_there(tmp_path: Path) -> None:
    run(study(tmp_path), 4)
    before = [(trial.params, trial.value) for trial in kept(tmp_path)]

    # As after a kill: the same search from its beginning, and further.
    run(study(tmp_path), 7)

    after = [(trial.params, trial.value) for trial in kept(tmp_path)]
    assert len(after) == 7
    assert after[:4] == before


def test_searches_of_other_names_share_a_journal(tmp_path: Path) -> None:
    run(study(tmp_path, name="one"), 2)
    run(study(tmp_path, "svtav1", name="two"), 3)

    assert len(kept(tmp_path, "one")) == 2
    assert len(kept(tmp_path, "two")) == 3


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"journal must be a writable file .*study\.journal: "):
        study(tmp_path / "missing")

    (tmp_path / "study.journal").mkdir()
    with pytest.raises(StoreError, match=r"journal must be a writable file .*study\.journal: "):
        study(tmp_path)


@pytest.mark.parametrize("text", ["this is no journal\n", "{}\n", "[1]\n", "\x00\xff\n"])
def test_a_journal_that_is_none_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.journal").write_text(text * 3)

    with pytest.raises(StoreError, match=r"study\.journal: .*; no result is lost with it, remove"):
        study(tmp_path)

    assert (tmp_path / "study.journal").read_text() == text * 3


def test_a_journal_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    run(study(tmp_path), 3)
    journal = tmp_path / "study.journal"
    journal.write_bytes(journal.read_bytes()[:-30])

    run(study(tmp_path), 6)

    assert len(kept(tmp_path)) == 6


NO_OFFSETS: dict[str, OptionValue] = {"roi": 1, "roi-object-qp": 0.0, "roi-background-qp": 0.0}


def coding_of(options: Mapping[str, OptionValue]) -> RegionCoding:
    coding = region_coding(options)
    assert coding is not None
    return coding


@pytest.mark.parametrize("sampler", ["additive", "tpe", "random"])
@pytest.mark.parametrize("codec", CODECS)
def test_regions_without_effect_are_never_proposed(
    tmp_path: Path, codec: Codec, sampler: Sampler
) -> None:
    # Only margin, hold and ring are free beside a filter with seven strengths, 0 among them.
    fixed = {**NO_OFFSETS, "roi-blur": 0.0}
    running = study(tmp_path, codec, part="regions", fixed=fixed, sampler=sampler, idle_cost=-0.5)

    proposals = run(running, 40, num_under_way=4)

    assert all(coding_of(options).has_effect for options in proposals)
    told = kept(tmp_path)
    idle = [trial for trial in told if trial.params["roi-freeze"] == 0]
    assert len(told) == 40 + len(idle) > 40
    assert {trial.value for trial in idle} == {-0.5}


@pytest.mark.parametrize("codec", CODECS)
def test_where_offsets_are_not_taken_the_starts_are_those_with_a_filter(
    tmp_path: Path, codec: Codec
) -> None:
    with_filter = [
        start for start in ENCODERS[codec].roi_starts if coding_of(dict(start)).has_filter
    ]

    proposals = run(study(tmp_path, codec, part="regions", fixed=NO_OFFSETS), len(with_filter))

    assert 0 < len(with_filter) < len(ENCODERS[codec].roi_starts)
    assert proposals == [
        {name: NO_OFFSETS.get(name, value) for name, value in {**NO_OFFSETS, **dict(start)}.items()}
        for start in with_filter
    ]


def test_a_user_who_fixes_regions_without_effect_gets_them(tmp_path: Path) -> None:
    fixed = {**NO_OFFSETS, "roi-blur": 0.0, "roi-freeze": 0.0}

    (proposal,) = run(study(tmp_path, part="regions", fixed=fixed), 1)

    assert not coding_of(proposal).has_effect


def test_a_second_start_keeps_what_was_told_of_regions_without_effect(tmp_path: Path) -> None:
    fixed = {**NO_OFFSETS, "roi-blur": 0.0}
    first = run(study(tmp_path, part="regions", fixed=fixed), 20, num_under_way=4)
    before = [(trial.params, trial.value) for trial in kept(tmp_path)]

    again = run(study(tmp_path, part="regions", fixed=fixed), 30, num_under_way=4)

    after = [(trial.params, trial.value) for trial in kept(tmp_path)]
    assert again[:20] == first
    assert after[: len(before)] == before
    assert len(after) > len(before)
