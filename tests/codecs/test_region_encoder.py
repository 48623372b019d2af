"""What regions do to real encodes, for every encoder."""

from itertools import pairwise

import numpy as np
import pytest
from ratesight.codecs.background import BackgroundFilter
from ratesight.codecs.encode import decode, encode
from ratesight.codecs.encoder import RunningEncoder
from ratesight.codecs.errors import RegionError
from ratesight.codecs.planes import video_frame
from ratesight.codecs.region import ClipRegions, Region
from ratesight.codecs.region_encoder import RegionEncoder, RegionSideData, can_offset_qp
from ratesight.codecs.settings import Bitrate, Crf, EncodeSettings, Qp, sorted_options
from ratesight.codecs.source import Segment, load_source
from ratesight.codecs.table import ENCODERS

PRESETS = {"x264": "veryfast", "x265": "ultrafast", "svtav1": "10"}
CRFS = {"x264": 30, "x265": 30, "svtav1": 45}
WIDTH, HEIGHT, NUM_FRAMES = 176, 144, 24

# On the grid of every encoder.
BOX = (64, 64, 128, 128)
LEFT, RIGHT = (0, 0, 64, 144), (128, 0, 176, 144)


@pytest.fixture(scope="module")
def carphone(clips):
    with load_source(clips / "carphone_qcif.mp4", max_seconds=0.8) as source:
        yield source


@pytest.fixture(scope="module")
def deep(clips, ffmpeg, tmp_path_factory):
    """The same clip with 10 bits."""
    path = tmp_path_factory.mktemp("deep") / "deep.mkv"
    words = ("-frames:v", 24, "-pix_fmt", "yuv420p10le", "-c:v", "ffv1")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words, path)
    with load_source(path) as source:
        assert source.pix_fmt == "yuv420p10le"
        yield source


def settings(codec, preset=None, **options):
    """Returns settings; offsets are in QP of H.264."""
    for name in ("object_qp", "background_qp"):
        if name in options:
            step = ENCODERS[codec].option("roi-object-qp").values.step
            options[f"roi-{name.replace('_', '-')}"] = options.pop(name) * step
    return EncodeSettings(
        codec=codec,
        preset=preset or PRESETS[codec],
        rate_control=Crf(value=CRFS[codec]),
        options=sorted_options(options),
    )


def region(box, weight=1.0):
    x0, y0, x1, y1 = box
    return Region(x0=x0, y0=y0, x1=x1, y1=y1, weight=weight)


def everywhere(source, *regions):
    """Returns the same regions for every frame."""
    return moving(source, [regions] * source.num_frames)


def moving(source, frames):
    return ClipRegions(width=source.width, height=source.height, frames=tuple(map(tuple, frames)))


def lumas(encoding):
    """Returns (frames, height, width) decoded luma."""
    return np.array([frame.to_ndarray()[: frame.height] for frame in decode(encoding)], float)


def psnr_db(encoding, source, box, *, outside=False, frames=slice(None)):
    """Returns the luma PSNR inside or outside of a box."""
    x0, y0, x1, y1 = box
    mask = np.full((source.height, source.width), outside)
    mask[y0:y1, x0:x1] = not outside
    originals = [source.planes(index)[: source.height] for index in range(NUM_FRAMES)]
    peak = 1023 if source.pix_fmt == "yuv420p10le" else 255
    errors = (lumas(encoding) - np.array(originals, float))[frames, mask]
    return 10 * np.log10(peak**2 / np.square(errors).mean())


class TestSideData:
    """What FFmpeg's wrappers read: structures of seven 32-bit numbers, the first region wins."""

    @pytest.mark.parametrize("bits", [8, 10])
    def test_regions_of_each_frame_come_first_and_the_background_last(self, bits, carphone, deep):
        source, qp_range = (carphone, 51) if bits == 8 else (deep, 63)
        coding = settings("x264", roi=1, object_qp=-3.0, background_qp=6.0).regions
        boxes = [(16 * n, 32, 16 * n + 16, 80) for n in range(11)]
        side_data = RegionSideData(source, coding)
        # More and fewer than before, and more than there was room for.
        for index, count in enumerate((1, 0, 3, 3, 11, 2)):
            regions = [
                region(box, weight)
                for box, weight in zip(boxes[:count], [1.0, 0.5] * 6, strict=False)
            ]
            picture = video_frame(source.planes(index), source, index)
            frame = side_data.attach(picture, regions)

            found = np.frombuffer(frame.side_data["REGIONS_OF_INTEREST"], np.int32).reshape(-1, 7)
            assert (found[:, 0] == 28).all()
            sides = [tuple(row) for row in found[:, [3, 1, 4, 2]].tolist()]
            assert sides[:count] == boxes[:count]
            assert set(sides[count:]) == {(0, 0, source.width, source.height)}
            offsets = found[:, 5] / found[:, 6] * qp_range
            assert offsets[:count] == pytest.approx(([-3, 1.5] * 6)[:count], abs=1e-4)
            assert offsets[count:] == pytest.approx(6, abs=1e-4)
            assert frame.pts == index
            np.testing.assert_array_equal(frame.to_ndarray(), picture.to_ndarray())


@pytest.mark.parametrize("codec", ENCODERS)
class TestEveryEncoder:
    def test_library_that_is_here_takes_offsets(self, codec):
        assert can_offset_qp(codec)

    @pytest.mark.parametrize("bits", [8, 10])
    def test_objects_get_better(self, codec, bits, carphone, deep):
        source = carphone if bits == 8 else deep
        plain = encode(source, settings(codec))
        better = encode(
            source, settings(codec, roi=1, object_qp=-6.0), regions=everywhere(source, region(BOX))
        )
        inside = psnr_db(better, source, BOX) - psnr_db(plain, source, BOX)
        outside = [psnr_db(one, source, BOX, outside=True) for one in (better, plain)]
        assert inside > 2
        assert inside - (outside[0] - outside[1]) > 1.5
        assert 1.05 * plain.size_bytes < better.size_bytes < 2 * plain.size_bytes

    @pytest.mark.parametrize("bits", [8, 10])
    def test_background_gets_worse(self, codec, bits, carphone, deep):
        source = carphone if bits == 8 else deep
        plain = encode(source, settings(codec))
        cheaper = encode(
            source,
            settings(codec, roi=1, background_qp=6.0),
            regions=everywhere(source, region(BOX)),
        )
        inside, outside = (
            psnr_db(cheaper, source, BOX, outside=side) - psnr_db(plain, source, BOX, outside=side)
            for side in (False, True)
        )
        assert outside < -1
        assert inside > outside + 1
        assert cheaper.size_bytes < 0.9 * plain.size_bytes

    def test_regions_without_an_effect_change_no_byte(self, codec, carphone):
        plain = encode(carphone, settings(codec))
        regions = everywhere(carphone, region(BOX), region(LEFT, 0.5))
        assert encode(carphone, settings(codec, roi=1), regions=regions).streams == plain.streams
        assert encode(carphone, settings(codec), regions=regions).streams == plain.streams

    def test_same_settings_give_the_same_bytes(self, codec, carphone):
        asked = settings(
            codec, roi=1, object_qp=-3.0, background_qp=4.0, **{"roi-blur": 1.0, "roi-freeze": 3.0}
        )
        frames = [[region((n, 10, n + 70, 90)), region(RIGHT, 0.3)] for n in range(NUM_FRAMES)]
        first, second = (
            encode(carphone, asked, regions=moving(carphone, frames)).streams for _ in range(2)
        )
        assert first == second

    def test_first_region_wins(self, codec, carphone):
        asked = settings(codec, roi=1, object_qp=-4.0, background_qp=4.0)

        def streams(*regions):
            return encode(carphone, asked, regions=everywhere(carphone, *regions)).streams

        whole = (0, 0, WIDTH, HEIGHT)
        box = streams(region(BOX))
        assert streams(region(BOX), region(whole, 0)) == box
        assert streams(region(BOX), region(BOX, 0), region((70, 70, 90, 90), 0.5)) == box
        assert streams(region(whole, 0), region(BOX)) == streams() != box

    def test_block_belongs_to_what_touches_it(self, codec, carphone):
        asked = settings(codec, roi=1, background_qp=5.0)
        found = [
            encode(carphone, asked, regions=everywhere(carphone, region(box))).streams
            for box in (BOX, (79, 79, 113, 113))
        ]
        assert found[0] == found[1]

    def test_half_of_the_weight_is_half_of_the_offset(self, codec, carphone):
        asked = settings(codec, roi=1, object_qp=-6.0)
        inside = [
            psnr_db(
                encode(carphone, asked, regions=everywhere(carphone, region(BOX, weight))),
                carphone,
                BOX,
            )
            for weight in (0, 0.5, 1)
        ]
        gains = [after - before for before, after in pairwise(inside)]
        assert min(gains) > 0.3
        assert gains[0] == pytest.approx(gains[1], abs=1)

    def test_regions_may_move(self, codec, carphone):
        asked = settings(codec, roi=1, object_qp=-5.0, background_qp=5.0)
        half = NUM_FRAMES // 2
        frames = [[region(LEFT if index < half else RIGHT)] for index in range(NUM_FRAMES)]
        there, back = (
            encode(carphone, asked, regions=moving(carphone, one)) for one in (frames, frames[::-1])
        )
        # Not at once after the change: there, frames copy from those before.
        early, late = (
            [
                psnr_db(there, carphone, box, frames=part)
                - psnr_db(back, carphone, box, frames=part)
                for box in (LEFT, RIGHT)
            ]
            for part in (slice(0, half), slice(half + 4, NUM_FRAMES))
        )
        assert early[0] > early[1] + 3
        assert late[1] > late[0] + 2

    def test_segments_have_the_regions_of_their_own_frames(self, codec, carphone):
        asked = settings(codec, roi=1, object_qp=-2.0, background_qp=5.0, **{"roi-blur": 1.0})
        frames = [[region((4 * n, 0, 4 * n + 64, 80))] for n in range(NUM_FRAMES)]
        parts = [Segment(start_frame=2, num_frames=3), Segment(start_frame=7, num_frames=5)]
        both = encode(carphone, asked, parts, moving(carphone, frames))
        for part, stream in zip(parts, both.streams, strict=True):
            running, packets = RegionEncoder(carphone, asked), []
            for index in range(part.num_frames):
                number = part.start_frame + index
                packets += running.encode(carphone.planes(number), index, frames[number])
            packets += running.finish()
            assert tuple(map(bytes, packets)) == stream
        others = [[region(RIGHT)]] * 7 + frames[7:]
        assert (
            encode(carphone, asked, parts, moving(carphone, others)).streams[1] == (both.streams[1])
        )

    @pytest.mark.parametrize("option", [{"roi-blur": 2.0}, {"roi-freeze": 20.0}])
    def test_filters_reach_the_encoder(self, codec, option, carphone):
        regions = everywhere(carphone, region(BOX))
        plain = encode(carphone, settings(codec))
        filtered = encode(carphone, settings(codec, roi=1, **option), regions=regions)
        assert filtered.streams != plain.streams
        if "roi-blur" in option:  # frozen blocks pay on cameras that do not move only
            assert filtered.size_bytes < 0.8 * plain.size_bytes
        background = BackgroundFilter(
            blur_sigma=option.get("roi-blur", 0), freeze_threshold=option.get("roi-freeze", 0)
        )
        running, packets = RunningEncoder(carphone, settings(codec)), []
        for index in range(carphone.num_frames):
            planes = background.apply(carphone.planes(index), regions.frames[index])
            packets += running.encode(video_frame(planes, carphone, index))
        packets += running.encode(None)
        assert tuple(map(bytes, packets)) == filtered.streams[0]

    def test_regions_that_do_not_fit_are_refused(self, codec, carphone):
        asked = settings(codec, roi=1, object_qp=-1.0)
        with pytest.raises(RegionError, match="roi=1 need the regions of the clip, got none"):
            encode(carphone, asked)
        for wrong in (
            ClipRegions(width=178, height=144, frames=((),) * 24),
            ClipRegions(width=176, height=142, frames=((),) * 24),
            ClipRegions(width=176, height=144, frames=((),) * 23),
            ClipRegions(width=176, height=144, frames=((),) * 25),
        ):
            for options in (asked, settings(codec)):
                with pytest.raises(RegionError, match=r"for 24 frames of 176x144, got 2[345] of"):
                    encode(carphone, options, regions=wrong)


class TestCarrier:
    """x264 and x265 move quantisers under adaptive quantisation only."""

    WITHOUT = (
        ("x264", "ultrafast", {}),
        ("x264", "veryfast", {"aq-mode": 0}),
        ("x264", "veryfast", {"aq-mode": 0, "mbtree": 0}),
        ("x264", "veryfast", {"aq-strength": 0.0, "mbtree": 0}),
        ("x265", "superfast", {}),
        ("x265", "superfast", {"cutree": 0}),
        ("x265", "veryfast", {"aq-mode": 0}),
        ("x265", "veryfast", {"aq-mode": 0, "cutree": 0}),
    )

    @pytest.mark.parametrize(("codec", "preset", "options"), WITHOUT)
    def test_offsets_work_where_it_is_off(self, codec, preset, options, carphone):
        plain = encode(carphone, settings(codec, preset, **options))
        better = encode(
            carphone,
            settings(codec, preset, roi=1, object_qp=-6.0, **options),
            regions=everywhere(carphone, region(BOX)),
        )
        assert psnr_db(better, carphone, BOX) > psnr_db(plain, carphone, BOX) + 2
        assert better.size_bytes > plain.size_bytes

    @pytest.mark.parametrize(("codec", "preset", "options"), WITHOUT)
    def test_alone_it_does_next_to_nothing(self, codec, preset, options, carphone):
        plain = encode(carphone, settings(codec, preset, **options))
        # Nothing is in a region, and the background has no offset.
        carried = encode(
            carphone,
            settings(codec, preset, roi=1, object_qp=-6.0, **options),
            regions=everywhere(carphone),
        )
        if codec == "x264" or "cutree" not in options:
            np.testing.assert_array_equal(lumas(carried), lumas(plain))
        assert carried.size_bytes == pytest.approx(plain.size_bytes, rel=0.04)

    def test_asked_for_it_stays_as_asked(self, carphone):
        asked = {"aq-mode": 2}
        with_aq, without = (
            encode(carphone, settings("x264", "ultrafast", **one)) for one in (asked, {})
        )
        carried = encode(
            carphone,
            settings("x264", "ultrafast", roi=1, object_qp=-6.0, **asked),
            regions=everywhere(carphone),
        )
        assert carried.streams == with_aq.streams
        assert with_aq.size_bytes < 0.9 * without.size_bytes


@pytest.mark.parametrize(
    ("codec", "rate_control"),
    [
        ("x264", Bitrate(rate_kbps=150)),
        ("x265", Bitrate(rate_kbps=150)),
        ("svtav1", Qp(value=40)),
    ],
)
def test_offsets_work_at_another_rate_control(codec, rate_control, carphone):
    plain, offset = (
        encode(carphone, one.at(rate_control), regions=everywhere(carphone, region(BOX)))
        for one in (
            settings(codec),
            settings(codec, roi=1, object_qp=-4.0, background_qp=4.0),
        )
    )
    gain, loss = (
        psnr_db(offset, carphone, BOX, outside=side) - psnr_db(plain, carphone, BOX, outside=side)
        for side in (False, True)
    )
    assert gain > 0.5
    assert gain > loss + 2


def test_offset_of_a_part_of_the_weight_is_exact(carphone):
    # FFmpeg counts offsets in shares of the whole range, as fractions.
    for codec in ("x264", "x265"):
        half = encode(
            carphone,
            settings(codec, roi=1, object_qp=-6.0),
            regions=everywhere(carphone, region(BOX, 0.5)),
        )
        whole = encode(
            carphone,
            settings(codec, roi=1, object_qp=-3.0),
            regions=everywhere(carphone, region(BOX)),
        )
        assert half.streams == whole.streams
