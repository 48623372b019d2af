"""Regions: what they may be, what blocks they cover, how they are kept."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.codecs.errors import RegionError
from ratesight.codecs.region import ClipRegions, Region, read_regions, weight_map, write_regions

WIDTH, HEIGHT = 80, 50


def region(x0, y0, x1, y1, weight=1.0):
    return Region(x0=x0, y0=y0, x1=x1, y1=y1, weight=weight)


def clip(*frames, width=WIDTH, height=HEIGHT):
    return ClipRegions(width=width, height=height, frames=frames)


@st.composite
def regions(draw):
    """One region inside the frame; its weight has the digits that a file keeps."""
    x0, y0 = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    x1, y1 = draw(st.integers(x0 + 1, WIDTH)), draw(st.integers(y0 + 1, HEIGHT))
    return region(x0, y0, x1, y1, draw(st.integers(0, 10_000)) / 10_000)


frames = st.lists(regions(), max_size=4).map(tuple)


class TestRegion:
    @pytest.mark.parametrize(
        "box", [(-1, 0, 5, 5), (0, -1, 5, 5), (5, 0, 5, 5), (0, 6, 5, 5), (9, 0, 5, 5)]
    )
    def test_sides_out_of_order_are_refused(self, box):
        with pytest.raises(RegionError, match=r"must have 0 <= x0 < x1 and 0 <= y0 < y1, got"):
            region(*box)

    @pytest.mark.parametrize("weight", [-0.1, 1.01, math.nan, math.inf])
    def test_weight_out_of_range_is_refused(self, weight):
        with pytest.raises(RegionError, match=rf"must be in \[0, 1\], got {weight:g}"):
            region(0, 0, 5, 5, weight)


class TestClipRegions:
    @pytest.mark.parametrize("box", [(0, 0, 81, 5), (0, 0, 5, 51)])
    def test_region_outside_names_its_frame(self, box):
        with pytest.raises(
            RegionError, match=rf"inside 80x50, frame 1 has one to \({box[2]}, {box[3]}\)"
        ):
            clip((), (region(0, 0, 80, 50), region(*box)))

    @pytest.mark.parametrize(
        "wrong", [{"frames": ()}, {"width": 0}, {"height": -2}], ids=["frames", "width", "height"]
    )
    def test_regions_of_nothing_are_refused(self, wrong):
        usual = {"width": WIDTH, "height": HEIGHT, "frames": ((),)}
        with pytest.raises(RegionError, match=r"at least 1 frame of 1x1, got \d of"):
            ClipRegions(**usual | wrong)

    def test_fit_is_size_and_number_of_frames(self):
        ours = clip((), ())
        ours.check_fit(80, 50, 2)
        for other in ((82, 50, 2), (80, 48, 2), (80, 50, 3)):
            width, height, num_frames = other
            with pytest.raises(
                RegionError,
                match=rf"for {num_frames} frames of {width}x{height}, got 2 of 80x50; make them",
            ):
                ours.check_fit(*other)

    def test_area_share_counts_what_has_weight(self):
        whole, half = region(0, 0, 80, 48, 0.1), region(0, 0, 40, 48)
        size = {"width": 80, "height": 48}
        assert clip((), (), **size).area_share == 0
        assert clip((half,), (whole,), **size).area_share == pytest.approx(0.75)
        # A region of weight 0 makes a hole where it comes first.
        assert clip((region(0, 0, 40, 48, 0), whole), **size).area_share == pytest.approx(0.5)

    def test_mean_weight_counts_a_region_by_its_weight(self):
        whole, half = region(0, 0, 80, 48, 0.25), region(0, 0, 40, 48)
        size = {"width": 80, "height": 48}
        assert clip((), (), **size).mean_weight == 0
        assert clip((half,), (whole,), **size).mean_weight == pytest.approx(0.375)


class TestWeightMap:
    @pytest.mark.parametrize(("block", "shape"), [(1, (50, 80)), (16, (4, 5)), (64, (1, 2))])
    def test_last_blocks_may_be_partial(self, block, shape):
        weights = weight_map([region(79, 49, 80, 50, 0.5)], WIDTH, HEIGHT, block)
        assert weights.shape == shape
        assert weights.dtype == np.float32
        assert weights[-1, -1] == 0.5
        assert np.count_nonzero(weights) == 1

    def test_block_belongs_to_what_touches_it(self):
        weights = weight_map([region(15, 16, 33, 32)], WIDTH, HEIGHT, 16)
        expected = np.zeros((4, 5))
        expected[1, :3] = 1
        np.testing.assert_array_equal(weights, expected)

    def test_first_region_wins(self):
        low, high = region(0, 0, 40, 40, 0.25), region(20, 20, 60, 50)
        assert weight_map([low, high], WIDTH, HEIGHT, 1)[30, 30] == 0.25
        assert weight_map([high, low], WIDTH, HEIGHT, 1)[30, 30] == 1
        # In one block that both touch without an overlap, too.
        near = [region(0, 0, 3, 3, 0.25), region(8, 8, 12, 12)]
        assert weight_map(near, WIDTH, HEIGHT, 16)[0, 0] == 0.25
        assert weight_map(near[::-1], WIDTH, HEIGHT, 16)[0, 0] == 1

    @given(frames)
    def test_pixel_has_the_weight_of_the_first_region_on_it(self, found):
        weights = weight_map(found, WIDTH, HEIGHT, 1)
        for y, x in ((0, 0), (13, 37), (25, 40), (49, 79)):
            here = [one.weight for one in found if one.x0 <= x < one.x1 and one.y0 <= y < one.y1]
            assert weights[y, x] == np.float32(here[0] if here else 0)

    @given(regions(), st.sampled_from([1, 2, 16, 64]))
    def test_blocks_cover_their_region_and_no_more_than_it_touches(self, one, block):
        pixels = weight_map([one], WIDTH, HEIGHT, 1)
        blocks = weight_map([one], WIDTH, HEIGHT, block)
        for row, column in np.ndindex(blocks.shape):
            there = pixels[row * block : (row + 1) * block, column * block : (column + 1) * block]
            assert blocks[row, column] == there.max()


class TestFile:
    @given(st.lists(frames, min_size=1, max_size=3).map(tuple))
    def test_what_is_written_is_read(self, tmp_path_factory, found):
        path = tmp_path_factory.mktemp("regions") / "regions.json"
        write_regions(clip(*found), path)
        assert read_regions(path) == clip(*found)

    def test_weight_may_be_left_out_and_floats_grow_outwards(self, tmp_path):
        path = tmp_path / "regions.json"
        frames = [[[1.2, 2.9, 10.1, 11], [3, 4, 5, 6, 0.25]], []]
        path.write_text(json.dumps({"width": 80, "height": 50, "frames": frames}))
        assert read_regions(path) == clip((region(1, 2, 11, 11), region(3, 4, 5, 6, 0.25)), ())

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "JSONDecodeError"),
            (b"{", "JSONDecodeError"),
            (b"\xff\xfe\xff", "UnicodeDecodeError"),
            (b"[1, 2]", "TypeError"),
            (b"null", "TypeError"),
            (b'{"height": 50, "frames": [[]]}', "KeyError 'width'"),
            (b'{"width": 80, "frames": [[]]}', "KeyError 'height'"),
            (b'{"width": 80, "height": 50}', "KeyError 'frames'"),
            (b'{"width": "wide", "height": 50, "frames": [[]]}', "ValueError"),
            (b'{"width": NaN, "height": 50, "frames": [[]]}', "ValueError"),
            (b'{"width": 80, "height": 50, "frames": 3}', "TypeError"),
            (b'{"width": 80, "height": 50, "frames": [3]}', "TypeError"),
            (b'{"width": 80, "height": 50, "frames": [[3]]}', "TypeError"),
            (b'{"width": 80, "height": 50, "frames": [[[1, 2, 3]]]}', "IndexError"),
            (b'{"width": 80, "height": 50, "frames": [[["a", 2, 3, 4]]]}', "TypeError"),
            (b'{"width": 80, "height": 50, "frames": [[[NaN, 2, 3, 4]]]}', "ValueError"),
            (b'{"width": 80, "height": 50, "frames": [[[0, 0, Infinity, 4]]]}', "OverflowError"),
            (b'{"width": 80, "height": 50, "frames": [[[0, 0, 3, 4, null]]]}', "TypeError"),
            (b"[" * 100_000, "RecursionError"),
        ],
    )
    def test_other_files_are_refused_in_one_line(self, content, reason, tmp_path):
        path = tmp_path / "regions.json"
        path.write_bytes(content)
        with pytest.raises(RegionError, match="must be a JSON file with width, heig") as caught:
            read_regions(path)
        assert f"{path} is not: {reason}" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("box", "message"),
        [
            ("[0, 0, 81, 50]", r"inside 80x50, frame 0 has one to \(81, 50\)"),
            ("[0, 0, 80.5, 50]", r"inside 80x50, frame 0 has one to \(81, 50\)"),
            ("[-0.5, 0, 80, 50]", r"0 <= x0 < x1 .* got \(-1, 0\) to \(80, 50\)"),
            ("[5, 5, 5, 9]", r"0 <= x0 < x1 .* got \(5, 5\) to \(5, 9\)"),
            ("[0, 0, 8, 8, 2]", r"weight of a region must be in \[0, 1\], got 2"),
            ("[0, 0, 8, 8, NaN]", r"weight of a region must be in \[0, 1\], got nan"),
        ],
    )
    def test_wrong_region_names_the_file(self, box, message, tmp_path):
        path = tmp_path / "regions.json"
        path.write_text(f'{{"width": 80, "height": 50, "frames": [[{box}]]}}')
        with pytest.raises(RegionError, match=rf"regions\.json: .*{message}") as caught:
            read_regions(path)
        assert "\n" not in str(caught.value)

    def test_file_that_is_not_there(self, tmp_path):
        with pytest.raises(RegionError, match=r"readable file, .*none\.json: No such file"):
            read_regions(tmp_path / "none.json")
        with pytest.raises(RegionError, match="must be a readable file, "):
            read_regions(tmp_path)
