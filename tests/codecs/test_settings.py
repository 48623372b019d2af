import json
import math

import pytest
from ratesight.codecs.errors import SettingsError
from ratesight.codecs.settings import (
    Bitrate,
    Crf,
    EncodeSettings,
    Qp,
    parse_options,
    sorted_options,
)
from ratesight.codecs.table import ENCODERS
from ratesight.optimizer.measuring.bench import settings_json


def settings(**other):
    usual = {"codec": "x264", "preset": "medium", "rate_control": Crf(value=30)}
    return EncodeSettings(**usual | other)


class TestEncodeSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"codec": "vp9"}, r"codec must be one of x264, x265, svtav1, got 'vp9'"),
            ({"preset": "fastest"}, r"preset must be one of placebo.* for x264, got 'fastest'"),
            ({"num_threads": 0}, r"num_threads must be a whole number in \[1, 16\], got 0"),
            ({"rate_control": Crf(value=60)}, r"crf must be in \[0, 51\] for libx264, got 60; see"),
            ({"rate_control": Crf(value=-1)}, r"crf must be in \[0, 51\] for libx264, got -1"),
            ({"rate_control": Crf(value=math.nan)}, r"crf must be in \[0, 51\].* got nan"),
            ({"rate_control": Crf(value=20.05)}, r"crf must be a multiple of 0.1 .* got 20.05"),
            (
                {"rate_control": Qp(value=70)},
                r"qp must be a whole number in \[0, 51\] for libx264, got 70",
            ),
            (
                {"rate_control": Bitrate(rate_kbps=0)},
                r"rate_kbps must be in \[1, 1000000\] for libx264, got 0",
            ),
            (
                {"rate_control": Bitrate(rate_kbps=math.inf)},
                r"rate_kbps must be in \[1, 1000000\] for libx264, got inf",
            ),
            (
                {"codec": "svtav1", "preset": "8", "rate_control": Bitrate(rate_kbps=200_000)},
                r"rate_kbps must be in \[1, 100000\] for libsvtav1, got 200000",
            ),
            ({"rate_control": Qp(value=20.5)}, r"qp must be a whole number in .* got 20.5"),
            (
                {
                    "rate_control": Bitrate(rate_kbps=600),
                    "options": (("vbv-bufsize", 500), ("vbv-maxrate", 500)),
                },
                r"vbv-maxrate must be at least the bitrate, 600 kbit/s, got 500; raise it",
            ),
            ({"options": (("aq-mod", 1),)}, r"x264 has no option 'aq-mod'; see"),
            (
                {"options": (("aq-mode", 4),)},
                r"aq-mode must be a whole number in \[0, 3\] for x264, got 4; see",
            ),
            ({"options": (("aq-mode", True),)}, r"aq-mode must be .* got True"),
            ({"options": (("aq-mode", 1.5),)}, r"aq-mode must be a whole number .* got 1.5"),
            ({"options": (("qcomp", math.nan),)}, r"qcomp must be a number in \[0, 1\].* got nan"),
            ({"options": (("cqm", "round"),)}, r"cqm must be one of flat, jvt .* got round"),
            (
                {"options": (("deadzone-inter", 10),)},
                r"deadzone-inter needs trellis=0 for x264; add it or remove deadzone-inter",
            ),
            (
                {"options": (("aq-mode", 0), ("aq-strength", 1.0))},
                r"aq-strength needs aq-mode=1 or 2 or 3 for x264",
            ),
            (
                {
                    "rate_control": Qp(value=30),
                    "options": (("vbv-bufsize", 500), ("vbv-maxrate", 500)),
                },
                r"vbv-maxrate needs crf or bitrate, got qp; choose another rate control or remove",
            ),
            (
                {"options": (("vbv-maxrate", 500),)},
                r"vbv-maxrate needs vbv-bufsize of at least 1 for x264; add it or remove",
            ),
            (
                {"preset": "superfast", "options": (("mbtree", 1),)},
                r"mbtree does not go with preset superfast of x264; remove it or",
            ),
            ({"height": 63}, r"height must be an even number of at least 64 lines, got 63"),
            ({"height": 101}, r"height must be an even number of at least 64 lines, got 101"),
            ({"height": 540.0}, r"height must be an even number .* got 540.0"),
            (
                {"height": 540, "options": (("roi", 1),)},
                r"height 540 and regions of interest \(roi=1\) exclude each other.*; leave one",
            ),
            ({"options": (("qcomp", 0.5), ("aq-mode", 1))}, r"options must be sorted by name"),
            ({"options": (("qcomp", 0.5), ("qcomp", 0.6))}, r"options must be .* each given once"),
        ],
    )
    def test_breaking_a_rule_names_rule_and_value(self, wrong, message):
        with pytest.raises(SettingsError, match=message):
            settings(**wrong)

    def test_crf_of_svtav1_moves_in_quarters(self):
        settings(codec="svtav1", preset="8", rate_control=Crf(value=37.25))
        with pytest.raises(SettingsError, match=r"multiple of 0.25 for libsvtav1, got 37.1"):
            settings(codec="svtav1", preset="8", rate_control=Crf(value=37.1))

    def test_a_whole_crf_is_written_one_way(self):
        whole, real = (
            settings_json(settings()),
            settings_json(settings(rate_control=Crf(value=30.0))),
        )
        assert json.dumps(whole) == json.dumps(real)

    def test_condition_may_be_met_by_an_option_or_by_its_default(self):
        settings(options=sorted_options({"deadzone-inter": 10, "trellis": 0}))
        settings(options=(("aq-strength", 0.5),))

    def test_at_changes_the_rate_control_only(self):
        base = settings(options=(("qcomp", 0.7),))
        assert base.at(Qp(value=20)) == settings(rate_control=Qp(value=20), options=base.options)


class TestParseOptions:
    def test_types_come_from_the_table(self):
        texts = ["aq-mode=2", "qcomp=1", "cqm=jvt"]
        parsed = parse_options(ENCODERS["x264"], texts)
        assert parsed == {"aq-mode": 2, "qcomp": 1.0, "cqm": "jvt"}
        assert [type(value) for value in parsed.values()] == [int, float, str]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("aq-mode", r"an option is written name=value, got 'aq-mode'"),
            ("aq-mode=two", r"aq-mode must be a whole number in \[0, 3\], got 'two'"),
            ("qcomp=much", r"qcomp must be a number in \[0, 1\], got 'much'"),
            ("cqm=round", r"cqm must be one of flat, jvt, got 'round'"),
            ("speed=1", r"x264 has no option 'speed'"),
        ],
    )
    def test_text_that_does_not_fit_is_refused(self, text, message):
        with pytest.raises(SettingsError, match=message):
            parse_options(ENCODERS["x264"], [text])

    def test_an_option_is_given_once(self):
        with pytest.raises(SettingsError, match="given once, got aq-mode twice"):
            parse_options(ENCODERS["x264"], ["aq-mode=0", "qcomp=0.5", "aq-mode=1"])
