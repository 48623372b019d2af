"""Options of regions: the same rows for each encoder, on its own scale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.codecs.errors import SettingsError
from ratesight.codecs.roi import RegionCoding, region_coding
from ratesight.codecs.settings import (
    Bitrate,
    Crf,
    EncodeSettings,
    Qp,
    check_options,
    parse_options,
    sorted_options,
)
from ratesight.codecs.table import ENCODERS, Floats

# What one QP of H.264 is on each encoder's CRF scale.
SCALES = {"x264": 1, "x265": 1, "svtav1": 2}
NAMES = (
    "roi", "roi-object-qp", "roi-background-qp", "roi-margin",
    "roi-hold", "roi-ring", "roi-blur", "roi-freeze",
)  # fmt: skip


def settings(codec="x264", rate_control=None, **options):
    return EncodeSettings(
        codec=codec,
        preset=ENCODERS[codec].default_preset,
        rate_control=rate_control or Crf(value=30),
        options=sorted_options(options),
    )


@pytest.mark.parametrize("codec", ENCODERS)
class TestRows:
    def test_all_are_there_and_ours(self, codec):
        rows = [option for option in ENCODERS[codec].options if option.is_ours]
        assert tuple(option.name for option in rows) == NAMES

    def test_offsets_are_on_the_scale_of_the_encoder(self, codec):
        scale = SCALES[codec]
        better = ENCODERS[codec].option("roi-object-qp")
        worse = ENCODERS[codec].option("roi-background-qp")
        assert better.values == Floats(-12 * scale, 0, scale)
        assert better.search == Floats(-6 * scale, 0, scale)
        assert worse.values == Floats(0, 12 * scale, scale)
        assert worse.search == Floats(0, 10 * scale, scale)

    def test_other_rows_are_the_same_for_all(self, codec):
        for name in set(NAMES) - {"roi-object-qp", "roi-background-qp"}:
            assert ENCODERS[codec].option(name) == ENCODERS["x264"].option(name)

    def test_all_but_the_switch_need_it(self, codec):
        for name in NAMES[1:]:
            default = ENCODERS[codec].option(name).default
            with pytest.raises(SettingsError, match=rf"{name} needs roi=1 for {codec}; add it"):
                settings(codec, **{name: default})
            settings(codec, **{"roi": 1, name: default})
        with pytest.raises(SettingsError, match=r"roi-margin needs roi=1"):
            settings(codec, **{"roi": 0, "roi-margin": 0.1})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("roi-object-qp", 1.0),
            ("roi-object-qp", -25.0),
            ("roi-background-qp", -1.0),
            ("roi-background-qp", 25.0),
            ("roi-margin", 2.5),
            ("roi-hold", -0.2),
            ("roi-ring", 257),
            ("roi-ring", 8.5),
            ("roi-blur", 21.0),
            ("roi-freeze", float("nan")),
        ],
    )
    def test_out_of_range_is_refused(self, codec, name, value):
        with pytest.raises(SettingsError, match=rf"{name} must be .* for {codec}, got {value}"):
            settings(codec, **{"roi": 1, name: value})

    def test_unknown_name_is_refused(self, codec):
        with pytest.raises(SettingsError, match=rf"{codec} has no option 'roi-border'"):
            settings(codec, **{"roi": 1, "roi-border": 1})

    def test_starts_are_valid_and_differ(self, codec):
        starts = ENCODERS[codec].roi_starts
        assert len(set(starts)) == len(starts) > 0
        for start in starts:
            check_options(ENCODERS[codec], ENCODERS[codec].default_preset, dict(start))
            coding = region_coding(dict(start))
            assert coding is not None
            assert coding.has_qp_offsets
            assert coding.has_effect

    def test_rate_control_that_ignores_offsets_is_refused(self, codec):
        needed = {"svtav1": ("crf", "qp")}.get(codec, ("crf", "bitrate"))
        for kind, rate_control in (
            ("crf", Crf(value=30)),
            ("qp", Qp(value=30)),
            ("bitrate", Bitrate(rate_kbps=100)),
        ):
            # The filters come before the encoder, whose rate control does not matter.
            settings(codec, rate_control, **{"roi": 1, "roi-blur": 1.0, "roi-freeze": 2.0})
            for options in ({"roi-object-qp": -2.0}, {"roi-background-qp": 2.0}):
                if kind in needed:
                    settings(codec, rate_control, roi=1, **options)
                    continue
                message = rf"need {' or '.join(needed)} for {codec}, got {kind}; choose another"
                with pytest.raises(SettingsError, match=message):
                    settings(codec, rate_control, roi=1, **options)


class TestRegionCoding:
    @pytest.mark.parametrize("options", [{}, {"roi": 0}, {"aq-mode": 1}])
    def test_off_is_none(self, options):
        assert region_coding(options) is None
        assert settings(**options).regions is None

    def test_defaults_do_nothing_to_the_picture(self):
        coding = settings(roi=1).regions
        assert coding == RegionCoding(
            object_qp=0,
            background_qp=0,
            margin=0.1,
            hold_seconds=0.2,
            ring_pixels=0,
            blur_sigma=0,
            freeze_threshold=0,
        )
        assert not coding.has_qp_offsets
        assert not coding.has_filter

    @pytest.mark.parametrize("codec", ENCODERS)
    def test_each_option_reaches_its_field(self, codec):
        texts = [
            "roi=1", "roi-object-qp=-3", "roi-background-qp=7", "roi-margin=0.3",
            "roi-hold=1.5", "roi-ring=24", "roi-blur=2.5", "roi-freeze=4",
        ]  # fmt: skip
        options = parse_options(ENCODERS[codec], texts)
        assert settings(codec, **options).regions == RegionCoding(
            object_qp=-3,
            background_qp=7,
            margin=0.3,
            hold_seconds=1.5,
            ring_pixels=24,
            blur_sigma=2.5,
            freeze_threshold=4,
        )

    @pytest.mark.parametrize(
        ("name", "value", "offsets", "filters"),
        [
            ("roi-object-qp", -1.0, True, False),
            ("roi-background-qp", 1.0, True, False),
            ("roi-blur", 0.5, False, True),
            ("roi-freeze", 1.0, False, True),
            ("roi-ring", 16, False, False),
        ],
    )
    def test_what_it_takes(self, name, value, offsets, filters):
        coding = settings(**{"roi": 1, name: value}).regions
        assert (coding.has_qp_offsets, coding.has_filter) == (offsets, filters)

    @given(st.floats(-12, 0), st.floats(0, 12), st.floats(0, 1))
    def test_offset_lies_between_object_and_background(self, better, worse, weight):
        coding = region_coding({"roi": 1, "roi-object-qp": better, "roi-background-qp": worse})
        assert coding.qp_offset(1) == better
        assert coding.qp_offset(0) == worse
        assert better - 1e-9 <= coding.qp_offset(weight) <= worse + 1e-9
        assert coding.qp_offset(0.5) == pytest.approx((better + worse) / 2, abs=1e-9)
