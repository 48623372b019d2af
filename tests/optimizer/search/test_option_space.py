"""Which options a search may set together, and where their values lie."""

from __future__ import annotations

import numpy as np
import pytest
from ratesight.codecs.settings import Crf, EncodeSettings, sorted_options
from ratesight.codecs.table import ENCODERS, Codec, OptionValue
from ratesight.optimizer.search.option_space import OptionSpace, Part

CODECS: tuple[Codec, ...] = tuple(ENCODERS)


def space(codec: Codec = "x264", part: Part = "encoder", **fixed: OptionValue) -> OptionSpace:
    encoder = ENCODERS[codec]
    return OptionSpace(encoder=encoder, preset=encoder.default_preset, part=part, fixed=fixed)


@pytest.mark.parametrize("codec", CODECS)
def test_neighbours_differ_in_one_option_and_what_depends_on_it(codec: Codec) -> None:
    searched, rng = space(codec), np.random.default_rng(0)
    encoder = ENCODERS[codec]
    options = searched.random(rng)

    neighbours = list(searched.neighbours(options, rng, most_values=3))

    for one in neighbours:
        EncodeSettings(
            codec=codec,
            preset=encoder.default_preset,
            rate_control=Crf(value=30),
            options=sorted_options(one),
        )
        changed = {name for name in one.keys() & options.keys() if one[name] != options[name]}
        assert len(changed) == 1
        for name in one.keys() ^ options.keys():
            assert {requirement.name for requirement in encoder.option(name).requires} & (
                changed | (one.keys() ^ options.keys())
            )
    per_option = [sum(one.get(name) != options[name] for one in neighbours) for name in options]
    assert min(per_option) >= 1


def test_all_values_of_an_option_are_neighbours_where_there_are_few() -> None:
    searched = space()
    options = searched.completed({})

    neighbours = searched.neighbours(options, np.random.default_rng(0), most_values=99)

    assert sum("aq-mode" in one and one["aq-mode"] != 1 for one in neighbours) == 3


@pytest.mark.parametrize("codec", CODECS)
def test_coordinates_tell_options_apart(codec: Codec) -> None:
    searched, rng = space(codec), np.random.default_rng(1)
    many = {tuple(sorted_options(searched.random(rng))) for _ in range(200)}

    points = {tuple(searched.coordinates(dict(one))) for one in many}

    assert len(points) == len(many)


def test_coordinates_run_from_0_to_1_and_what_is_left_out_is_at_its_default() -> None:
    searched = space()
    names = [option.name for option in searched.options]

    point = searched.coordinates({"qcomp": 1.0, "bframes": 4, "cqm": "jvt"})

    assert point[names.index("qcomp")] == 1
    assert point[names.index("bframes")] == 0.5
    assert point[names.index("cqm")] != searched.coordinates({})[names.index("cqm")]
    assert point[names.index("psy-rd")] == pytest.approx(1.0 / 1.6)
    assert point[names.index("aq-strength")] == pytest.approx((1.0 - 0.2) / (2 - 0.2))


def test_modes_are_names_and_amounts_are_not() -> None:
    searched = space()
    is_mode = dict(
        zip([option.name for option in searched.options], searched.is_mode.tolist(), strict=True)
    )

    assert is_mode["aq-mode"]
    assert is_mode["cqm"]
    assert is_mode["mbtree"]
    assert not is_mode["bframes"]
    assert not is_mode["qcomp"]


def test_what_a_fixed_option_needs_stays_as_it_is() -> None:
    names = {option.name for option in space(**{"aq-strength": 1.4}).options}

    assert not {"aq-mode", "aq-strength"} & names


def test_values_carry_no_binary_dust() -> None:
    values = space().values["aq-strength"]

    assert values[:3] == [0.2, 0.3, 0.4]
    assert values[-1] == 2
    assert len(values) == 19


def test_a_value_that_is_not_searched_is_left_at_its_default() -> None:
    completed = space().completed({"qcomp": 0.63, "psy-rd": 0.4, "keyint": 50})

    assert completed["qcomp"] == 0.6
    assert completed["psy-rd"] == 0.4
    assert "keyint" not in completed


def test_coordinates_set_out_from_what_the_preset_sets() -> None:
    searched = OptionSpace(encoder=ENCODERS["x264"], preset="veryslow", part="encoder", fixed={})
    names = [option.name for option in searched.options]

    point = searched.coordinates({})

    assert point[names.index("bframes")] == 1
    assert list(searched.coordinates({"bframes": 8, "trellis": 2})) == list(point)


@pytest.mark.parametrize(
    ("preset", "left_out"),
    [("placebo", {"bframes"}), ("ultrafast", {"deblock-alpha", "deblock-beta"})],
)
def test_an_option_is_not_searched_where_no_searched_value_is_the_preset_s(
    preset: str, left_out: set[str]
) -> None:
    encoder = ENCODERS["x264"]
    searched = OptionSpace(encoder=encoder, preset=preset, part="encoder", fixed={})

    offered = {
        option.name
        for option in encoder.options
        if option.search is not None and not option.is_ours and preset not in option.not_presets
    }

    assert offered - {option.name for option in searched.options} == left_out
