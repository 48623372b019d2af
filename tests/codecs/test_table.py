"""The encoder table against the encoders themselves."""

import dataclasses
import json
from contextlib import suppress

import numpy as np
import pytest
from ratesight.codecs.encode import decode, encode
from ratesight.codecs.encoder import RunningEncoder
from ratesight.codecs.errors import EncodeError
from ratesight.codecs.region import ClipRegions, Region
from ratesight.codecs.settings import Crf, EncodeSettings, check_options, sorted_options
from ratesight.codecs.source import load_source
from ratesight.codecs.table import ENCODERS, AtLeast, Choice, Floats, Ints

OPTIONS = [
    pytest.param(encoder, option, id=f"{encoder.codec}-{option.name}")
    for encoder in ENCODERS.values()
    for option in encoder.options
]
PRESETS = [
    pytest.param(encoder, preset, id=f"{encoder.codec}-{preset}")
    for encoder in ENCODERS.values()
    for preset in encoder.presets
]
ROWS = [pytest.param(encoder, id=encoder.codec) for encoder in ENCODERS.values()]


@pytest.fixture(scope="module")
def carphone(clips):
    with load_source(clips / "carphone_qcif.mp4", max_seconds=0.4) as source:
        yield source


@pytest.fixture(scope="module")
def pyramid(clips, ffmpeg, tmp_path_factory):
    """Small, and longer than SVT-AV1's deepest pyramid of 32 frames."""
    path = tmp_path_factory.mktemp("clips") / "small.mkv"
    words = ("-frames:v", 70, "-vf", "scale=96:80", "-c:v", "ffv1", path)
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words)
    with load_source(path) as source:
        yield source


def ends(values):
    if isinstance(values, tuple):
        return values
    if isinstance(values, AtLeast):
        return (values.low,)
    if isinstance(values, Choice):
        return values.values
    return (values.low, values.high)


def met_conditions(encoder, option, asked_by=None):
    """Returns the smallest set of other options under which this one may be set."""
    met = {}
    for requirement in option.requires:
        other = encoder.option(requirement.name)
        if other is asked_by:
            continue  # Two that need each other.
        met |= met_conditions(encoder, other, option)
        if other.default not in requirement.values:
            met[other.name] = ends(requirement.values)[-1]
    return met


def settings(encoder, options, preset=None):
    return EncodeSettings(
        codec=encoder.codec,
        preset=preset or encoder.default_preset,
        rate_control=Crf(value=30),
        options=sorted_options(options),
    )


def slices(encoding):
    """Returns the packets without what x264 writes about its settings into the first one."""
    first, *rest = encoding.streams[0]
    marker = first.find(b"x264 - core")
    if marker >= 0:
        first = first[:marker] + first[first.index(b"\x00\x00", marker) :]
    return (first, *rest)


def middle(source):
    """A region in the middle of every frame, for what is asked with regions on."""
    box = Region(x0=48, y0=32, x1=112, y1=96)
    frames = ((box,),) * source.num_frames
    return ClipRegions(width=source.width, height=source.height, frames=frames)


class TestOptions:
    @pytest.mark.parametrize(("encoder", "option"), OPTIONS)
    def test_default_and_search_range_lie_in_the_allowed_values(self, encoder, option):
        is_off = option.name in ("vbv-maxrate", "vbv-bufsize")  # It is not given, or nothing is.
        assert option.values.contains(option.default) != is_off
        for value in ends(option.search) if option.search else ():
            assert option.values.contains(value)

    @pytest.mark.parametrize(("encoder", "option"), OPTIONS)
    def test_conditions_name_options_further_up(self, encoder, option):
        # A search draws options in table order and looks back at what it drew.
        names = [one.name for one in encoder.options]
        for requirement in option.requires:
            if option.search is not None:
                assert names.index(requirement.name) < names.index(option.name)
            for value in ends(requirement.values):
                assert encoder.option(requirement.name).values.contains(value)

    @pytest.mark.parametrize(("encoder", "option"), OPTIONS)
    def test_presets_are_known(self, encoder, option):
        assert set(option.not_presets) <= set(encoder.presets)
        assert encoder.default_preset not in option.not_presets

    @pytest.mark.parametrize(("encoder", "option"), OPTIONS)
    def test_encoder_takes_both_ends_of_the_range(self, encoder, option, carphone):
        for value in ends(option.values):
            options = met_conditions(encoder, option) | {option.name: value}
            if option.name == "vbv-maxrate":
                options["vbv-bufsize"] = value  # It must hold a frame.
            done = encode(carphone, settings(encoder, options), regions=middle(carphone))
            assert done.num_frames == carphone.num_frames

    @pytest.mark.parametrize(("encoder", "preset"), PRESETS)
    def test_saying_every_default_of_a_preset_changes_nothing(self, encoder, preset, pyramid):
        said = {}
        for option in encoder.options:
            default = encoder.default_at(preset, option.name)
            is_free = all(one.is_met(said, encoder, preset) for one in option.requires)
            # x265's ultrafast looks ahead less than one may ask for.
            is_value = default is not None and option.values.contains(default)
            if is_free and is_value and preset not in option.not_presets:
                said[option.name] = default
        assert len(said) > sum(preset not in one.not_presets for one in encoder.options) / 2
        silent = encode(pyramid, settings(encoder, {}, preset))
        # What x264 writes about its settings is the same too.
        assert encode(pyramid, settings(encoder, said, preset)).streams == silent.streams

    @pytest.mark.parametrize(
        ("encoder", "option", "preset"),
        [
            pytest.param(encoder, option, preset, id=f"{encoder.codec}-{option.name}-{preset}")
            for encoder in ENCODERS.values()
            for option in encoder.options
            for preset in option.not_presets
            if (encoder.codec, option.name) != ("x265", "bframes")  # 5 and more are refused
        ],
    )
    def test_what_a_preset_forbids_does_nothing_there(
        self, encoder, option, preset, carphone, monkeypatch
    ):
        free = [dataclasses.replace(one, not_presets=(), requires=()) for one in encoder.options]
        row = dataclasses.replace(encoder, options=tuple(free))
        monkeypatch.setitem(ENCODERS, encoder.codec, row)
        silent = [
            frame.to_ndarray() for frame in decode(encode(carphone, settings(row, {}, preset)))
        ]
        for value in ends(option.values):
            with suppress(EncodeError):  # x264 says that it drops mbtree.
                said = encode(carphone, settings(row, {option.name: value}, preset))
                for before, after in zip(silent, decode(said), strict=True):
                    np.testing.assert_array_equal(after.to_ndarray(), before)

    @pytest.mark.parametrize(
        ("encoder", "option"),
        [
            one
            for one in OPTIONS
            if met_conditions(*one.values) and one.values[1].values.contains(one.values[1].default)
        ],
    )
    def test_saying_a_conditional_default_changes_nothing(self, encoder, option, carphone):
        met = met_conditions(encoder, option)
        regions = middle(carphone)
        silent = encode(carphone, settings(encoder, met), regions=regions)
        asked = settings(encoder, met | {option.name: option.default})
        said = encode(carphone, asked, regions=regions)
        assert slices(said) == slices(silent)

    @pytest.mark.parametrize("encoder", ROWS)
    def test_fastest_preset_takes_what_the_table_allows_there(self, encoder, carphone):
        preset = "12" if encoder.codec == "svtav1" else "ultrafast"
        options = {}
        for option in encoder.options:
            met = all(one.is_met(options, encoder, preset) for one in option.requires)
            if met and preset not in option.not_presets and option.search is not None:
                options[option.name] = ends(option.search)[-1]
        assert len(options) > 5
        encode(carphone, settings(encoder, options, preset))


class TestRows:
    @pytest.mark.parametrize("encoder", ROWS)
    def test_row_can_be_printed_as_json(self, encoder):
        assert json.loads(json.dumps(dataclasses.asdict(encoder)))["codec"] == encoder.codec

    @pytest.mark.parametrize("encoder", ROWS)
    def test_presets_set_options_that_are_known(self, encoder):
        for preset, values in encoder.preset_defaults:
            assert preset in encoder.presets
            assert preset != encoder.default_preset
            for name, value in values:
                assert value != encoder.option(name).default

    @pytest.mark.parametrize("encoder", ROWS)
    def test_starts_are_valid(self, encoder):
        for start in encoder.starts:
            check_options(encoder, encoder.default_preset, dict(start))

    @pytest.mark.parametrize("encoder", ROWS)
    def test_searched_crfs_lie_in_the_range(self, encoder):
        low, high, _ = encoder.crf_range
        assert low <= encoder.search_crf[0] < encoder.search_crf[1] <= high

    @pytest.mark.parametrize("encoder", ROWS)
    def test_encoder_takes_both_ends_of_the_crf_range(self, encoder, carphone):
        sizes = []
        for crf in encoder.crf_range[:2]:
            asked = settings(encoder, {}).at(Crf(value=crf))
            sizes.append(encode(carphone, asked).size_bytes)
        assert sizes[0] > sizes[1]

    @pytest.mark.parametrize("encoder", ROWS)
    def test_option_that_the_encoder_does_not_know_fails_each_time(self, encoder, carphone):
        # Twice, because PyAV drops a log line that repeats the one before it.
        for _ in range(2):
            running = RunningEncoder(carphone, settings(encoder, {}))
            context = running._context
            params = context.options[encoder.params_name]
            context.options = context.options | {encoder.params_name: f"{params}:no-such-thing=3"}
            with pytest.raises(EncodeError, match=r"did not take its settings: .*no-such-thing"):
                running.encode(carphone.frame(0))


class TestValues:
    @pytest.mark.parametrize(
        ("values", "text", "value"),
        [
            (Ints(0, 3), "2", 2),
            (Floats(0, 3, 0.1), "2", 2.0),
            (Choice(("flat", "jvt")), "jvt", "jvt"),
            (Choice((0, 2)), "2", 2),
        ],
    )
    def test_parse_keeps_the_type(self, values, text, value):
        parsed = values.parse("name", text)
        assert parsed == value
        assert type(parsed) is type(value)
        assert values.contains(parsed)
