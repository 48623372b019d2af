"""Tracks: boxes of one object are linked, others are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ratesight.metrics.boxes import Detections
from ratesight.metrics.tracks import Track, link

Box = tuple[float, float, float, float]
Object = tuple[str, Box]


def seen(*objects: Object) -> Detections:
    return Detections(
        boxes=np.array([box for _, box in objects], dtype=np.float64).reshape(-1, 4),
        scores=np.ones(len(objects)),
        class_names=tuple(name for name, _ in objects),
    )


def at(x: float, y: float = 0, side: float = 10) -> Box:
    return (x, y, x + side, y + side)


def track(frames: Sequence[int], boxes: Sequence[Box]) -> Track:
    return Track(class_name="car", frames=np.array(frames), boxes=np.array(boxes, dtype=float))


boxes = st.builds(at, st.integers(0, 40), st.integers(0, 40), st.integers(5, 30))
objects = st.lists(st.tuples(st.sampled_from(["car", "dog"]), boxes), max_size=4)


@given(st.lists(objects, max_size=6), st.integers(0, 3))
def test_every_detection_is_in_one_track(found: list[list[Object]], max_missed: int) -> None:
    frames = [5 * n + 2 for n in range(len(found))]

    tracks = link(frames, [seen(*one) for one in found], max_missed=max_missed)

    linked = [
        (frame, one.class_name, tuple(box))
        for one in tracks
        for frame, box in zip(one.frames.tolist(), one.boxes.tolist(), strict=True)
    ]
    there = [(frame, *one) for frame, now in zip(frames, found, strict=True) for one in now]
    assert sorted(linked) == sorted(there)
    for one in tracks:
        assert one.boxes.shape == (len(one.frames), 4)
        steps = np.diff(one.frames) / 5
        assert (steps >= 1).all()
        assert (steps <= max_missed + 1).all()


@given(st.lists(objects, max_size=5))
def test_boxes_at_its_frames_are_those_seen(found: list[list[Object]]) -> None:
    for one in link(range(len(found)), [seen(*now) for now in found]):
        np.testing.assert_array_equal(one.boxes_at(one.frames), one.boxes)


@given(st.lists(boxes, min_size=1, max_size=5))
def test_boxes_in_between_stay_between(path: list[Box]) -> None:
    one = track([4 * n for n in range(len(path))], path)

    found = one.boxes_at(np.arange(-3, 4 * len(path) + 3))

    assert found.shape == (4 * len(path) + 6, 4)
    assert (found >= one.boxes.min(axis=0)).all()
    assert (found <= one.boxes.max(axis=0)).all()
    np.testing.assert_array_equal(found[:3], np.tile(path[0], (3, 1)))
    np.testing.assert_array_equal(found[-6:], np.tile(path[-1], (6, 1)))


def test_an_object_moves_evenly_between_two_sightings() -> None:
    one = track([10, 14, 16], [at(0), at(8), at(8, side=20)])

    found = one.boxes_at(np.array([0, 10, 11, 13, 15, 16, 99]))

    expected = [at(0), at(0), at(2), at(6), at(8, side=15), at(8, side=20), at(8, side=20)]
    np.testing.assert_allclose(found, expected)
    assert one.boxes_at(np.zeros(0, dtype=np.int64)).shape == (0, 4)


def test_nothing_gives_no_track() -> None:
    assert link([], []) == ()
    assert link([0, 5], [seen(), seen()]) == ()


def test_one_object_is_one_track() -> None:
    (one,) = link([0, 3, 6], [seen(("car", at(0))), seen(("car", at(4))), seen(("car", at(8)))])

    assert one.class_name == "car"
    assert one.weight == 1
    assert one.frames.tolist() == [0, 3, 6]
    np.testing.assert_array_equal(one.boxes, [at(0), at(4), at(8)])


def test_objects_of_two_classes_pass_through_each_other() -> None:
    frames = range(9)
    found = [seen(("car", at(5 * n)), ("dog", at(40 - 5 * n))) for n in frames]

    tracks = link(frames, found)

    assert [one.class_name for one in tracks] == ["car", "dog"]
    np.testing.assert_array_equal(tracks[0].boxes, [at(5 * n) for n in frames])
    np.testing.assert_array_equal(tracks[1].boxes, [at(40 - 5 * n) for n in frames])


def test_a_fast_object_is_a_new_one() -> None:
    # Boxes that overlap by less than a fifth, then not at all.
    for step in (7, 50):
        found = [seen(("car", at(0))), seen(("car", at(step)))]

        tracks = link([0, 1], found)

        assert [one.frames.tolist() for one in tracks] == [[0], [1]]


@pytest.mark.parametrize("max_missed", [0, 1, 2])
def test_an_object_may_be_missed_for_a_while(max_missed: int) -> None:
    for missed in range(4):
        found = [seen(("car", at(0))), *[seen()] * missed, seen(("car", at(2)))]

        tracks = link([10 * n for n in range(len(found))], found, max_missed=max_missed)

        assert len(tracks) == (1 if missed <= max_missed else 2)
    # The count starts again with each sighting.
    often = [seen(("car", at(0))), *[seen()] * max_missed] * 3
    assert len(link(range(len(often)), often, max_missed=max_missed)) == 1


def test_a_gap_is_bridged_evenly() -> None:
    (one,) = link([0, 3, 6], [seen(("car", at(0))), seen(), seen(("car", at(6)))])

    np.testing.assert_allclose(one.boxes_at(np.arange(7)), [at(n) for n in range(7)])


def test_the_most_overlap_in_total_counts() -> None:
    # Each for itself, the first object would take the nearer box and leave none to the second.
    first, second = at(0), at(6)
    left, right = at(-3), at(2)
    found = [seen(("car", first), ("car", second)), seen(("car", left), ("car", right))]

    tracks = link([0, 1], found)

    assert [one.boxes.tolist() for one in tracks] == [
        [list(first), list(left)],
        [list(second), list(right)],
    ]


def test_frames_and_detections_must_pair() -> None:
    with pytest.raises(ValueError, match="shorter"):
        link([0, 1], [seen()])
