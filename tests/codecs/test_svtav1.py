"""The SVT-AV1 library driven directly: FFmpeg's bytes without regions, better pictures in them."""

import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
import pytest
from ratesight.codecs.encoder import RunningEncoder, video_context
from ratesight.codecs.errors import EncodeError, RegionError
from ratesight.codecs.option import Ints, Option
from ratesight.codecs.planes import plane, video_frame
from ratesight.codecs.settings import Bitrate, Crf, EncodeSettings, Qp, sorted_options
from ratesight.codecs.source import load_source
from ratesight.codecs.svtav1 import (
    RegionsUnsupportedError,
    SvtAv1Encoder,
    segment_map,
    supports_regions,
)
from ratesight.codecs.svtav1_library import version_fault
from ratesight.codecs.table import ENCODERS

LEFT, RIGHT = np.s_[:, :320], np.s_[:, 320:]


@pytest.fixture(scope="module")
def street_source(street):
    with load_source(street, max_seconds=0.64) as source:
        yield source


@dataclass(frozen=True)
class Form:
    """Format of a made-up clip."""

    width: int
    height: int
    pix_fmt: str = "yuv420p"
    frame_rate: Fraction = Fraction(30000, 1001)
    color_space: int = 1
    color_primaries: int = 9
    color_transfer: int = 16

    def frames(self, num_frames):
        """Yields a coarse pattern that moves."""
        is_deep = self.pix_fmt == "yuv420p10le"
        size = (self.height * 3 // 2 // 3, self.width // 3 + num_frames)
        levels = np.random.default_rng(5).integers(40, 200, size).repeat(3, 0).repeat(3, 1)
        levels = np.pad(levels, ((0, 2), (0, 2)), mode="edge") * (4 if is_deep else 1)
        for index in range(num_frames):
            planes = levels[: self.height * 3 // 2, index : index + self.width]
            planes = np.ascontiguousarray(planes, np.uint16 if is_deep else np.uint8)
            yield video_frame(planes, self, index)


def settings(preset="10", rate_control=None, **options):
    return EncodeSettings(
        codec="svtav1",
        preset=preset,
        rate_control=rate_control or Crf(value=35),
        options=sorted_options({name.replace("_", "-"): it for name, it in options.items()}),
    )


def frames_of(source, num_frames=None):
    return [source.frame(index) for index in range(num_frames or source.num_frames)]


def run(encoder, frames, maps=None):
    """Returns all packets; ``maps`` is one map for all frames, or one for each."""
    if maps is None or isinstance(maps, np.ndarray):
        maps = [maps] * len(frames)
    packets = []
    for frame, one in zip(frames, maps, strict=True):
        packets += encoder.encode(frame, one)
    return packets + encoder.encode(None)


def run_wrapper(form, asked, frames):
    encoder = RunningEncoder(form, asked)
    packets = [packet for frame in frames for packet in encoder.encode(frame)]
    return packets + encoder.encode(None)


def facts(packets):
    return [
        (bytes(packet), packet.pts, packet.dts, packet.time_base, packet.is_keyframe)
        for packet in packets
    ]


def size_bytes(packets):
    return sum(packet.size for packet in packets)


def decode(packets):
    context = video_context("libdav1d", "r")
    context.thread_count = 1
    frames = [frame for packet in packets for frame in context.decode(av.Packet(bytes(packet)))]
    return frames + context.decode(None)


def psnr_db(source, packets, place, indices=None):
    """Returns luma PSNR in a part of the picture, over some frames."""
    frames = decode(packets)
    assert len(frames) == source.num_frames
    indices = range(len(frames)) if indices is None else indices
    errors = [
        np.square(plane(source.frame(at), 0)[place] - plane(frames[at], 0)[place].astype(float))
        for at in indices
    ]
    return 10 * np.log10(255**2 / np.mean(errors))


def halves(left, right, shape=(5, 10)):
    offsets = np.full(shape, right, np.float32)
    offsets[:, : shape[1] // 2] = left
    return offsets


def test_library_of_the_wheel_supports_regions():
    assert supports_regions()


@pytest.mark.parametrize("version", ["v4.1", "v4.1.0", "v4.1.3"])
def test_version_whose_structures_are_known(version):
    assert version_fault(version) is None


@pytest.mark.parametrize("version", ["v4.0.1", "v4.10.0", "v4.2.0", "v3.1.2", "4.1.0", ""])
def test_other_version_is_refused(version):
    fault = version_fault(version)
    assert fault == f"SVT-AV1 must be v4.1 to take regions, this is {version}"


class TestWithoutRegions:
    @pytest.mark.parametrize(
        "asked",
        [
            settings("8"),
            settings("12", Crf(value=37.25)),
            settings("10", Crf(value=70)),
            settings("10", Qp(value=40)),
            settings("10", Qp(value=40), aq_mode=2),
            settings("10", keyint=5, hierarchical_levels=3),
            settings("9", aq_mode=0, enable_tf=0, enable_cdef=0, enable_dlf=2, max_tx_size=32),
            settings("11", tune=0, enable_variance_boost=1, variance_boost_strength=3),
            settings("8", enable_qm=1, qm_min=2, sharpness=-3, ac_bias=1.5, luminance_qp_bias=20),
            settings("12", film_grain=8, qp_scale_compress_strength=2),
            replace(settings("10"), num_threads=2),
        ],
        ids=lambda asked: f"{asked.preset} {asked.rate_control} {dict(asked.options)}",
    )
    def test_packets_are_those_of_the_wrapper(self, asked, street_source):
        frames = frames_of(street_source, 12)
        expected = facts(run_wrapper(street_source, asked, frames))
        zeros = np.zeros((5, 10), np.float32)
        assert facts(run(SvtAv1Encoder(street_source, asked), frames)) == expected
        assert facts(run(SvtAv1Encoder(street_source, asked), frames, zeros)) == expected

    @pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")
    @pytest.mark.parametrize("kind", [SvtAv1Encoder, RunningEncoder])
    def test_its_threads_and_ours_stay_ordinary_ones(self, kind, street_source):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        before = set(os.listdir("/proc/self/task")) - {str(threading.get_native_id())}
        encoder = kind(street_source, settings())
        encoder.encode(street_source.frame(0))
        there = set(os.listdir("/proc/self/task")) - before
        assert len(there) > 1
        assert {os.sched_getscheduler(int(one)) for one in there} == {os.SCHED_OTHER}
        encoder.encode(None)

    @pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
    @pytest.mark.parametrize("size", [(176, 144), (66, 66), (130, 98), (16, 200), (1280, 720)])
    def test_any_size_and_depth(self, size, pix_fmt):
        form = Form(*size, pix_fmt)
        frames = list(form.frames(4))
        expected = facts(run_wrapper(form, settings("12"), frames))
        assert facts(run(SvtAv1Encoder(form, settings("12")), frames)) == expected

    def test_lowest_offset_alone_changes_nothing_in_sum(self, street_source):
        # A frame that is lower all over is one of a lower CRF.
        frames = frames_of(street_source, 8)
        encoder = SvtAv1Encoder(street_source, settings(), lowest_offset=-5)
        packets = run(encoder, frames, np.full((5, 10), -5, np.float32))
        expected = run_wrapper(street_source, settings("10", Crf(value=30)), frames)
        assert facts(packets) == facts(expected)


class TestRegions:
    def test_region_gains_and_background_pays(self, street_source):
        frames = frames_of(street_source)
        plain = run(SvtAv1Encoder(street_source, settings("8")), frames)
        encoder = SvtAv1Encoder(street_source, settings("8"), lowest_offset=-8)
        packets = run(encoder, frames, halves(-8, 16))
        for at in (range(1), range(1, 16)):  # the key frame too
            gain_db, loss_db = (
                psnr_db(street_source, packets, place, at)
                - psnr_db(street_source, plain, place, at)
                for place in (LEFT, RIGHT)
            )
            assert gain_db > 0.5
            assert loss_db < -0.5

    @pytest.mark.parametrize(
        "asked",
        [
            settings("10", aq_mode=0),
            settings("10", Qp(value=35)),
            settings("10", hierarchical_levels=2, enable_tf=0),
            settings("10", tune=0, enable_variance_boost=1),
            settings("12"),
        ],
        ids=lambda asked: f"{asked.preset} {asked.rate_control} {dict(asked.options)}",
    )
    def test_heeded_whatever_the_options(self, asked, street_source):
        frames = frames_of(street_source)
        left, right = (
            run(SvtAv1Encoder(street_source, asked), frames, halves(*offsets))
            for offsets in ((0, 20), (20, 0))
        )
        for place, better, worse in ((LEFT, left, right), (RIGHT, right, left)):
            better_db = psnr_db(street_source, better, place)
            assert better_db > psnr_db(street_source, worse, place) + 1

    def test_one_is_one_step_of_crf(self, street_source):
        frames = frames_of(street_source)
        sizes = [
            size_bytes(run(SvtAv1Encoder(street_source, asked), frames, offsets))
            for asked, offsets in (
                (settings("8", Crf(value=45)), None),
                (settings("8", Crf(value=35)), np.full((5, 10), 10, np.float32)),
                (settings("8", Crf(value=35)), None),
            )
        ]
        # Key frames take 10 steps from where few are left, so it is more than the CRF's share.
        assert sizes[0] * 0.8 < sizes[1] < sizes[2] * 0.9

    def test_map_moves_with_the_frames(self, street_source):
        frames = frames_of(street_source)
        left, right = halves(0, 20), halves(20, 0)
        early, late = range(6), range(10, 16)
        maps = [left] * 8 + [right] * 8
        asked = settings("10", keyint=8)  # else what was good stays good
        there, back = (
            run(SvtAv1Encoder(street_source, asked), frames, order) for order in (maps, maps[::-1])
        )
        for place, at, better, worse in (
            (LEFT, early, there, back),
            (RIGHT, early, back, there),
            (LEFT, late, back, there),
            (RIGHT, late, there, back),
        ):
            better_db = psnr_db(street_source, better, place, at)
            assert better_db > psnr_db(street_source, worse, place, at) + 0.5

    def test_no_map_is_a_map_of_zeros_after_another(self, street_source):
        frames = frames_of(street_source, 8)
        maps = [halves(0, 10)] * 4
        results = [
            facts(run(SvtAv1Encoder(street_source, settings()), frames, maps + [rest] * 4))
            for rest in (None, halves(0, 0), halves(0, 10))
        ]
        assert results[0] == results[1]
        assert results[0] != results[2]

    @pytest.mark.parametrize("size", [(640, 272), (176, 144), (66, 66), (130, 98), (64, 64)])
    @pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
    def test_any_shape_decodes(self, size, pix_fmt):
        form = Form(*size, pix_fmt)
        rows, columns = -(-form.height // 64), -(-form.width // 64)
        row, column = np.mgrid[:rows, :columns]
        shapes = [
            (row == 0) & (column == 0),
            (row == rows - 1) & (column == columns - 1),
            column == columns // 2,
            (row + column) % 2 == 0,
            np.ones((rows, columns), bool),
        ]
        maps = [np.where(shape, -3, 7).astype(np.float32) for shape in shapes]
        maps.append(((row * columns + column) % 8 * 2.5 - 4).astype(np.float32))
        frames = list(form.frames(len(maps)))
        packets = run(SvtAv1Encoder(form, settings("12")), frames, maps)
        decoded = decode(packets)
        assert [(frame.width, frame.height, frame.format.name) for frame in decoded] == [
            (*size, pix_fmt)
        ] * len(maps)
        assert facts(packets) == facts(run(SvtAv1Encoder(form, settings("12")), frames, maps))

    def test_offsets_beyond_the_scale_are_its_ends(self):
        form = Form(130, 98)
        frames = list(form.frames(6))
        wide, wider = (
            run(SvtAv1Encoder(form, settings("12")), frames, np.full((2, 3), it, np.float32))
            for it in (70, 1000)
        )
        assert facts(wide) == facts(wider)
        assert len(decode(wide)) == 6

    def test_lossless_is_not_reached(self, street_source):
        frames = frames_of(street_source, 4)
        packets = run(
            SvtAv1Encoder(street_source, settings("10", Crf(value=2))), frames, halves(-60, -50)
        )
        assert len(decode(packets)) == 4


class TestSegmentMap:
    def test_largest_offset_comes_first(self):
        offsets = np.array([[-2, 0.25], [1.6, -2]], np.float32)
        ids, values = segment_map(offsets, 100, 128)
        assert values == (6, 1, -8)
        assert list(ids) == [2, 1, 0, 2]

    def test_zero_is_there_to_fall_back_on(self):
        assert segment_map(np.full((1, 2), -2, np.float32), 128, 64) == (b"\1\1", (0, -8))

    def test_eight_values_fit(self):
        offsets = np.arange(-8, 0, dtype=np.float32).reshape(2, 4)
        assert segment_map(offsets, 256, 128)[1] == tuple(range(-4, -36, -4))

    @pytest.mark.parametrize(
        ("offsets", "message"),
        [
            (np.arange(9).reshape(3, 3), r"at most 8 different quarters, got 9"),
            (np.zeros((2, 3)), r"must be \(3, 3\) for 176x144 pixels, got \(2, 3\)"),
            (np.zeros(9), r"must be \(3, 3\) for 176x144 pixels, got \(9,\)"),
            (np.full((3, 3), np.nan), r"must be finite"),
        ],
    )
    def test_map_that_does_not_fit(self, offsets, message):
        form = Form(176, 144)
        (frame,) = form.frames(1)
        with pytest.raises(RegionError, match=message):
            SvtAv1Encoder(form, settings()).encode(frame, offsets.astype(np.float32))


class TestErrors:
    def test_bitrate_has_no_regions(self):
        asked = settings("10", Bitrate(rate_kbps=100))
        with pytest.raises(RegionsUnsupportedError, match="crf or qp for SVT-AV1") as caught:
            SvtAv1Encoder(Form(64, 64), asked)
        assert caught.value.settings == asked

    def test_unknown_option(self, monkeypatch):
        row = ENCODERS["svtav1"]
        option = Option(name="no-such", default=0, values=Ints(0, 9), doc="none of the library's")
        monkeypatch.setitem(ENCODERS, "svtav1", replace(row, options=(*row.options, option)))
        with pytest.raises(EncodeError, match="did not take its settings: no-such=3; settings"):
            SvtAv1Encoder(Form(64, 64), settings(no_such=3))

    def test_format_that_the_library_refuses(self):
        form = Form(64, 64, color_space=0)  # RGB
        with pytest.raises(EncodeError, match="failed: settings gave error 0x80001005"):
            SvtAv1Encoder(form, settings())

    @pytest.mark.parametrize("other", [Form(128, 64), Form(64, 64, "yuv420p10le")])
    def test_frame_of_another_format(self, other):
        encoder = SvtAv1Encoder(Form(64, 64), settings())
        with pytest.raises(EncodeError, match=r"takes frames of \(64, 64, 'yuv420p'\) only"):
            encoder.encode(next(other.frames(1)))


class TestEnd:
    def test_end_without_a_start(self):
        encoder = SvtAv1Encoder(Form(64, 64), settings())
        assert encoder.encode(None) == encoder.encode(None) == []

    def test_nothing_comes_after_the_end(self):
        form = Form(64, 64)
        encoder = SvtAv1Encoder(form, settings())
        (frame,) = form.frames(1)
        assert len(run(encoder, [frame])) == 1
        with pytest.raises(EncodeError, match="no frame after the end of its stream"):
            encoder.encode(frame)

    @pytest.mark.parametrize("num_frames", [0, 1, 40])
    @pytest.mark.parametrize("is_closed", [True, False])
    def test_threads_go_with_an_unfinished_stream(self, num_frames, is_closed, capfd):
        form = Form(130, 98)
        gc.collect()  # of what earlier tests left
        capfd.readouterr()
        before = set(os.listdir("/proc/self/task"))
        encoder = SvtAv1Encoder(form, settings())
        for index, frame in enumerate(form.frames(num_frames)):
            encoder.encode(frame, np.full((2, 3), index % 7, np.float32))
        assert set(os.listdir("/proc/self/task")) - before
        if is_closed:
            encoder.close()
            encoder.close()
        else:
            del encoder
            gc.collect()
        assert not set(os.listdir("/proc/self/task")) - before
        assert capfd.readouterr().err == ""

    def test_encoders_side_by_side_do_not_disturb_each_other(self, street_source):
        def encode(number):
            frames = frames_of(street_source, 8)
            offsets = halves(number, 10)
            return facts(run(SvtAv1Encoder(street_source, settings()), frames, offsets))

        alone = [encode(number) for number in (0, 5)]
        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(encode, (0, 5) * 3)) == alone * 3
