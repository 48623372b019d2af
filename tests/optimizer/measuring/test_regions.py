"""From tracks to regions: grown, held, ringed, on the encoder's grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.codecs.errors import RegionError
from ratesight.codecs.region import ClipRegions, Region, weight_map, write_regions
from ratesight.codecs.roi import RegionCoding
from ratesight.codecs.source import Source
from ratesight.metrics.tracks import Track
from ratesight.optimizer.measuring.regions import (
    RegionSource,
    align,
    merge,
    object_regions,
    own_regions,
    region_step,
    shape_regions,
    tracks_of,
)
from ratesight.optimizer.measuring.set_up import given_regions

WIDTH, HEIGHT, NUM_FRAMES = 200, 120, 12
Box = tuple[int, int, int, int]


def coding(*, margin: float = 0, hold_seconds: float = 0, ring_pixels: int = 0) -> RegionCoding:
    return RegionCoding(
        object_qp=-4,
        background_qp=6,
        margin=margin,
        hold_seconds=hold_seconds,
        ring_pixels=ring_pixels,
        blur_sigma=0,
        freeze_threshold=0,
    )


def track(frames: Sequence[int], boxes: Sequence[Sequence[float]], *, weight: float = 1.0) -> Track:
    return Track(
        class_name="car",
        frames=np.array(frames, dtype=np.int64),
        boxes=np.array(boxes, dtype=np.float64),
        weight=weight,
    )


def shaped(
    *tracks: Track, how: RegionCoding | None = None, block: int = 1, step_frames: int = 1
) -> ClipRegions:
    """Shapes regions for 12 frames of 200x120 at 10 frames a second."""
    return shape_regions(
        RegionSource(
            tracks=tracks,
            step_frames=step_frames,
            width=WIDTH,
            height=HEIGHT,
            num_frames=NUM_FRAMES,
            frame_rate=Fraction(10),
        ),
        how or coding(),
        block,
    )


def sides(frame: Sequence[Region]) -> list[Box]:
    return [(one.x0, one.y0, one.x1, one.y1) for one in frame]


def weights_of(frame: Sequence[Region], block: int = 1) -> npt.NDArray[np.float32]:
    return weight_map(frame, WIDTH, HEIGHT, block)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """A box in the frame, on a coarse grid, so that many touch."""
    x0, y0 = draw(st.integers(0, 9)), draw(st.integers(0, 5))
    x1, y1 = draw(st.integers(x0 + 1, 10)), draw(st.integers(y0 + 1, 6))
    return 20 * x0, 20 * y0, 20 * x1, 20 * y1


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    frames = sorted(draw(st.sets(st.integers(0, NUM_FRAMES - 1), min_size=1, max_size=3)))
    path = []
    for _ in frames:
        x0, y0 = draw(st.floats(-30, WIDTH - 1)), draw(st.floats(-30, HEIGHT - 1))
        path.append((x0, y0, x0 + draw(st.floats(31, 90)), y0 + draw(st.floats(31, 90))))
    return track(frames, path, weight=draw(st.sampled_from([0.4, 1.0])))


regions = st.builds(
    lambda box, weight: Region(x0=box[0], y0=box[1], x1=box[2], y1=box[3], weight=weight),
    boxes(),
    st.sampled_from([0.25, 0.5, 1.0]),
)


class TestMerge:
    @given(st.lists(boxes(), max_size=8))
    def test_covers_the_same_with_no_more_boxes(self, found: list[Box]) -> None:
        merged = merge(np.array(found, dtype=np.int64).reshape(-1, 4))

        assert merged.dtype == np.int64
        assert merged.shape[1:] == (4,)
        assert len(merged) <= len(set(found))
        before, after = (
            weights_of([Region(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in there])
            for there in (found, merged.tolist())
        )
        np.testing.assert_array_equal(after, before)

    @given(st.lists(boxes(), max_size=8))
    def test_order_and_repetition_do_not_matter_to_what_is_left(self, found: list[Box]) -> None:
        merged = merge(np.array(found, dtype=np.int64).reshape(-1, 4))
        again = merge(np.array([*found[::-1], *found], dtype=np.int64).reshape(-1, 4))

        np.testing.assert_array_equal(again, merged)
        np.testing.assert_array_equal(merge(merged), merged)

    @pytest.mark.parametrize(
        ("found", "merged"),
        [
            ([(0, 0, 4, 4), (4, 0, 8, 4)], [(0, 0, 8, 4)]),
            ([(0, 0, 6, 4), (4, 0, 8, 4)], [(0, 0, 8, 4)]),
            ([(0, 0, 8, 8), (2, 2, 4, 4)], [(0, 0, 8, 8)]),
            # A corner would be covered too, or a gap.
            ([(0, 0, 4, 4), (4, 0, 8, 5)], [(0, 0, 4, 4), (4, 0, 8, 5)]),
            ([(0, 0, 4, 4), (5, 0, 8, 4)], [(0, 0, 4, 4), (5, 0, 8, 4)]),
            # The first two only make a pair for the third.
            ([(0, 0, 4, 4), (4, 0, 8, 4), (0, 4, 8, 8)], [(0, 0, 8, 8)]),
        ],
    )
    def test_two_become_one_where_they_fill_it(self, found: list[Box], merged: list[Box]) -> None:
        assert merge(np.array(found)).tolist() == [list(box) for box in merged]


class TestAlign:
    @given(st.lists(st.tuples(*[st.floats(-300, 300)] * 4), max_size=5), st.sampled_from([1, 16]))
    def test_grows_to_the_grid_and_stays_in_the_frame(
        self, found: list[tuple[float, ...]], block: int
    ) -> None:
        rough = np.array(
            [(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in found]
        ).reshape(-1, 4)

        aligned = align(rough, block, WIDTH, HEIGHT)

        limits = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
        assert ((aligned % block == 0) | (aligned == limits)).all()
        assert (aligned >= 0).all()
        assert (aligned <= limits).all()
        assert (aligned[:, :2] < aligned[:, 2:]).all()
        inside = np.clip(rough, 0, limits)
        for box in inside[(inside[:, :2] < inside[:, 2:]).all(axis=1)]:
            covers = (aligned[:, :2] <= box[:2]) & (aligned[:, 2:] >= box[2:])
            assert covers.all(axis=1).any()

    def test_box_outside_is_dropped(self) -> None:
        outside = np.array([[-20.0, 0, -1, 5], [0, 130, 5, 140], [208, 0, 230, 5]])
        assert align(outside, 16, WIDTH, HEIGHT).shape == (0, 4)


class TestShapeRegions:
    def test_nothing_gives_frames_without_regions(self) -> None:
        assert shaped(how=coding(ring_pixels=16)).frames == ((),) * NUM_FRAMES

    def test_box_follows_its_object_and_grows_outwards(self) -> None:
        found = shaped(track([2, 6], [(10, 10, 30, 30), (20, 14, 40, 34)]))

        assert [bool(frame) for frame in found.frames] == [2 <= n <= 6 for n in range(12)]
        assert sides(found.frames[2]) == [(10, 10, 30, 30)]
        assert sides(found.frames[3]) == [(12, 11, 33, 31)]  # 12.5 to 32.5
        assert sides(found.frames[6]) == [(20, 14, 40, 34)]

    def test_margin_is_a_share_of_the_size(self) -> None:
        found = shaped(track([0], [(50, 40, 70, 80)]), how=coding(margin=0.25))

        assert sides(found.frames[0]) == [(45, 30, 75, 90)]

    def test_margin_counts_before_the_grid(self) -> None:
        found = shaped(track([0], [(50, 40, 70, 80)]), how=coding(margin=0.25), block=16)

        assert sides(found.frames[0]) == [(32, 16, 80, 96)]

    @pytest.mark.parametrize(
        ("hold_seconds", "step_frames", "hold"),
        [(0, 1, 0), (0.2, 1, 2), (0.25, 1, 2), (0, 4, 3), (0.2, 4, 3), (0.5, 4, 5)],
    )
    def test_region_is_held_for_what_was_not_looked_at_at_least(
        self, hold_seconds: float, step_frames: int, hold: int
    ) -> None:
        found = shaped(
            track([5, 6], [(10, 10, 30, 30), (20, 10, 40, 30)]),
            how=coding(hold_seconds=hold_seconds),
            step_frames=step_frames,
        )

        shown = [number for number, frame in enumerate(found.frames) if frame]
        assert shown == list(range(5 - hold, 6 + hold + 1))
        for number in shown:
            box = (10, 10, 30, 30) if number <= 5 else (20, 10, 40, 30)
            assert sides(found.frames[number]) == [box]

    def test_hold_ends_with_the_clip(self) -> None:
        found = shaped(track([0, 11], [(0, 0, 9, 9)] * 2), how=coding(hold_seconds=3))

        assert all(sides(frame) == [(0, 0, 9, 9)] for frame in found.frames)
        assert len(found.frames) == NUM_FRAMES

    @pytest.mark.parametrize(
        ("block", "box"), [(1, (50, 40, 71, 61)), (16, (48, 32, 80, 64)), (64, (0, 0, 128, 64))]
    )
    def test_box_grows_to_the_grid(self, block: int, box: Box) -> None:
        found = shaped(track([0], [(50.5, 40.5, 70.5, 60.5)]), block=block)

        assert sides(found.frames[0]) == [box]

    def test_last_block_ends_with_the_frame(self) -> None:
        found = shaped(track([0], [(190, 110, 230, 140)]), block=64)

        assert sides(found.frames[0]) == [(128, 64, 200, 120)]

    def test_object_that_left_has_no_region(self) -> None:
        found = shaped(track([0], [(-40, 0, -10, 30)]), how=coding(margin=0.1, ring_pixels=8))

        assert found.frames[0] == ()

    def test_neighbours_become_one(self) -> None:
        found = shaped(track([0], [(0, 0, 20, 20)]), track([0], [(20, 0, 50, 20)]))

        assert sides(found.frames[0]) == [(0, 0, 50, 20)]

    def test_heavier_objects_come_first(self) -> None:
        light = track([0], [(0, 0, 50, 50)], weight=0.3)
        heavy = track([0], [(20, 20, 60, 60)])

        for order in itertools.permutations((light, heavy)):
            (first, second), *_ = shaped(*order).frames
            assert (first.weight, second.weight) == (1, 0.3)

    def test_ring_has_half_of_the_weight_and_comes_after_every_object(self) -> None:
        light = track([0], [(60, 40, 80, 60)], weight=0.4)
        heavy = track([0], [(100, 40, 120, 60)])

        found = shaped(light, heavy, how=coding(ring_pixels=10)).frames[0]

        assert sides(found) == [
            (100, 40, 120, 60),
            (60, 40, 80, 60),
            (90, 30, 130, 70),
            (50, 30, 90, 70),
        ]
        assert [one.weight for one in found] == [1, 0.4, 0.5, 0.2]
        # So that no ring lies on an object.
        near = track([0], [(85, 40, 95, 60)], weight=0.4)
        weights = weights_of(shaped(near, heavy, how=coding(ring_pixels=10)).frames[0])
        assert weights[50, 92] == np.float32(0.4)
        assert weights[50, 97] == 0.5

    def test_ring_lies_on_the_grid(self) -> None:
        found = shaped(track([0], [(50, 40, 70, 60)]), how=coding(ring_pixels=20), block=16)

        # 28 to 100 and 12 to 84 around 48 to 80 and 32 to 64.
        assert sides(found.frames[0]) == [(48, 32, 80, 64), (16, 0, 112, 96)]

    def test_half_of_the_weight_is_half_of_both_offsets(self) -> None:
        how = coding(ring_pixels=8)
        inner, ring = shaped(track([0], [(50, 40, 70, 60)]), how=how).frames[0]

        assert how.qp_offset(inner.weight) == -4
        assert how.qp_offset(ring.weight) == -4 / 2 + 6 / 2

    @given(st.lists(tracks(), max_size=4), st.sampled_from([1, 16, 64]), st.integers(0, 20))
    def test_every_object_lies_in_regions_of_its_weight(
        self, there: list[Track], block: int, ring: int
    ) -> None:
        found = shaped(*there, how=coding(margin=0.1, ring_pixels=ring), block=block)

        found.check_fit(WIDTH, HEIGHT, NUM_FRAMES)
        for number, frame in enumerate(found.frames):
            weights = weights_of(frame)
            for one in there:
                if one.frames[0] <= number <= one.frames[-1]:
                    (box,) = one.boxes_at(np.array([number]))
                    x0, y0 = np.floor(box[:2].clip(0)).astype(int)
                    x1, y1 = np.ceil(box[2:]).astype(int)
                    assert (weights[y0:y1, x0:x1] >= np.float32(one.weight)).all()

    @given(st.lists(tracks(), max_size=4), st.sampled_from([16, 64]))
    def test_pixels_and_blocks_agree(self, there: list[Track], block: int) -> None:
        # On the grid, a map of blocks says of each pixel what the regions say.
        found = shaped(*there, how=coding(ring_pixels=24), block=block)

        for frame in found.frames:
            blocks = weights_of(frame, block).repeat(block, axis=0).repeat(block, axis=1)
            np.testing.assert_array_equal(blocks[:HEIGHT, :WIDTH], weights_of(frame))


class TestTracksOf:
    @given(st.lists(st.lists(regions, max_size=4).map(tuple), min_size=12, max_size=12))
    def test_regions_come_back_with_their_weights(self, frames: list[tuple[Region, ...]]) -> None:
        given_ones = ClipRegions(width=WIDTH, height=HEIGHT, frames=tuple(frames))

        found = shaped(*tracks_of(given_ones))

        for before, after in zip(frames, found.frames, strict=True):
            # Where they overlap, the heaviest wins.
            heaviest = sorted(before, key=lambda one: -one.weight)
            np.testing.assert_array_equal(weights_of(after), weights_of(heaviest))

    def test_same_region_from_frame_to_frame_is_one_track(self) -> None:
        one, other = (Region(x0=0, y0=0, x1=40, y1=40, weight=weight) for weight in (0.5, 1.0))
        frames = ((one, other), (one,), (one, other))

        found = tracks_of(ClipRegions(width=WIDTH, height=HEIGHT, frames=frames))

        assert [(one.weight, one.frames.tolist()) for one in found] == [
            (0.5, [0, 1, 2]),
            # Where the user has no region, there is none.
            (1.0, [0]),
            (1.0, [2]),
        ]

    def test_nothing_gives_no_track(self) -> None:
        assert tracks_of(ClipRegions(width=WIDTH, height=HEIGHT, frames=((), ()))) == ()

    def test_a_users_regions_grow_and_are_held_like_any_other(self) -> None:
        region = Region(x0=50, y0=40, x1=70, y1=60, weight=0.5)
        frames = ((),) * 4 + ((region,),) + ((),) * 7
        source = tracks_of(ClipRegions(width=WIDTH, height=HEIGHT, frames=frames))

        found = shaped(*source, how=coding(margin=0.5, hold_seconds=0.1))

        assert [bool(frame) for frame in found.frames] == [3 <= n <= 5 for n in range(12)]
        assert found.frames[3] == (Region(x0=40, y0=30, x1=80, y1=70, weight=0.5),)


@pytest.mark.parametrize(
    ("frame_rate", "step"),
    [(Fraction(1), 1), (Fraction(10), 1), (Fraction(25), 2), (Fraction(30000, 1001), 3),
     (Fraction(60), 6)],
)  # fmt: skip
def test_objects_are_looked_for_ten_times_a_second(frame_rate: Fraction, step: int) -> None:
    assert region_step(frame_rate) == step


def test_regions_of_a_whole_clip_serve_its_beginning(phone: Source, tmp_path: Path) -> None:
    box = Region(x0=0, y0=0, x1=16, y1=16)
    whole = ClipRegions(
        width=phone.width, height=phone.height, frames=((box,),) * (phone.num_frames + 5)
    )
    write_regions(whole, tmp_path / "regions.json")

    found = given_regions(tmp_path / "regions.json", replace(phone, is_shortened=True))

    assert found.tracks[0].frames[-1] == phone.num_frames - 1
    with pytest.raises(RegionError, match="make them for this clip"):
        given_regions(tmp_path / "regions.json", replace(phone, is_shortened=False))


@given(st.lists(tracks(), max_size=3))
def test_objects_given_as_own_regions_are_grown_once(found: list[Track]) -> None:
    source = RegionSource(
        tracks=tuple(found),
        step_frames=1,
        width=WIDTH,
        height=HEIGHT,
        num_frames=NUM_FRAMES,
        frame_rate=Fraction(10),
    )
    objects = object_regions(source)

    assert object_regions(own_regions(objects, source.frame_rate)).area_share == pytest.approx(
        objects.area_share
    )


def test_one_object_given_as_own_region_gets_the_same_regions() -> None:
    source = RegionSource(
        tracks=(track([2, 6], [(40, 40, 80, 90), (60, 60, 100, 110)]),),
        step_frames=1,
        width=WIDTH,
        height=HEIGHT,
        num_frames=NUM_FRAMES,
        frame_rate=Fraction(10),
    )
    how = coding(margin=0.2, hold_seconds=0.2, ring_pixels=16)

    again = own_regions(object_regions(source), source.frame_rate)

    assert shape_regions(again, how, 16) == shape_regions(source, how, 16)
