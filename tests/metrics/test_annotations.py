"""A person's boxes, from COCO JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ratesight.metrics.annotations import load_annotations
from ratesight.metrics.errors import AnnotationError

CATEGORIES = [{"id": 3, "name": "car"}, {"id": 18, "name": "dog"}]


def box(image_id: object, bbox: object = (10, 20, 30, 40), category_id: int = 3) -> dict[str, Any]:
    return {"image_id": image_id, "bbox": bbox, "category_id": category_id}


def write(path: Path, images: object, annotations: object, **others: object) -> Path:
    coco = {"images": images, "annotations": annotations, "categories": CATEGORIES, **others}
    path.write_text(json.dumps(coco))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "boxes.json"


def test_images_are_matched_by_frame_index(file: Path) -> None:
    images = [{"id": "b", "frame_index": 4}, {"id": "a", "frame_index": 0}]
    write(file, images, [box("b", (1, 2, 3, 4), 18), box("b")])

    annotations = load_annotations(file, 5)

    assert sorted(annotations.frames) == [0, 4]
    assert annotations.frames[0].class_names == ()
    assert annotations.frames[0].boxes.shape == (0, 4)
    there = annotations.frames[4]
    assert there.class_names == ("dog", "car")
    np.testing.assert_array_equal(there.boxes, [[1, 2, 4, 6], [10, 20, 40, 60]])
    np.testing.assert_array_equal(there.scores, [1, 1])
    assert annotations.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_without_frame_index_images_are_the_frames_by_file_name(file: Path) -> None:
    images = [{"id": n, "file_name": f"f{2 - n:03}.png"} for n in range(3)]
    write(file, images, [box(0)])

    annotations = load_annotations(file, 3)

    assert sorted(annotations.frames) == [0, 1, 2]
    assert annotations.frames[2].class_names == ("car",)


def test_numbers_in_file_names_are_read_as_numbers(file: Path) -> None:
    images = [{"id": n, "file_name": f"f{n}.png"} for n in range(1, 13)]
    write(file, images, [box(2)])

    annotations = load_annotations(file, 12)

    assert [frame for frame, seen in annotations.frames.items() if seen.class_names] == [1]


def test_an_image_without_name_and_index_is_no_frame(file: Path) -> None:
    write(file, [{"id": n} for n in range(12)], [box(2)])

    with pytest.raises(AnnotationError, match="file_name"):
        load_annotations(file, 12)


def test_what_lies_beyond_a_cut_clip_is_left_out(file: Path) -> None:
    images = [{"id": n, "frame_index": 10 * n} for n in range(4)]
    write(file, images, [box(n) for n in range(4)])

    assert sorted(load_annotations(file, 20, is_cut=True).frames) == [0, 10]

    named = [{"id": n, "file_name": f"{n}.png"} for n in range(4)]
    write(file, named, [box(n) for n in range(4)])

    assert sorted(load_annotations(file, 3, is_cut=True).frames) == [0, 1, 2]
    with pytest.raises(AnnotationError, match="4 images, 0 with a frame_index, and the clip 3 fr"):
        load_annotations(file, 3)


@pytest.mark.parametrize("index", [5, 1000])
@pytest.mark.parametrize("others", [[], [{"id": 0, "frame_index": 0}]])
def test_images_must_lie_on_the_clip(
    file: Path, index: int, others: list[dict[str, object]]
) -> None:
    write(file, [*others, {"id": 1, "frame_index": index}], [box(1)])

    with pytest.raises(AnnotationError, match=rf"on the clip's 5 frames, .*frame_index of {index}"):
        load_annotations(file, 5)
    if others:
        assert sorted(load_annotations(file, 5, is_cut=True).frames) == [0]
    else:
        with pytest.raises(AnnotationError, match="on the clip's 5 frames"):
            load_annotations(file, 5, is_cut=True)


@pytest.mark.parametrize("indices", [(0, 0), (0, -1), (0, 1.0), (0, True), (0, "1")])
def test_a_frame_index_is_a_whole_number_that_is_there_once(
    file: Path, indices: tuple[object, object]
) -> None:
    write(file, [{"id": n, "frame_index": index} for n, index in enumerate(indices)], [box(1)])

    with pytest.raises(AnnotationError, match=r"frame_index .* is no whole number"):
        load_annotations(file, 5)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-2, 4)])
def test_a_box_has_an_area(file: Path, size: tuple[int, int]) -> None:
    write(file, [{"id": 0, "frame_index": 0}], [box(0, (1, 2, *size))])

    with pytest.raises(AnnotationError, match=r"bbox .* has no area"):
        load_annotations(file, 5)


def test_images_of_another_size_are_refused(file: Path) -> None:
    images = [{"id": 0, "frame_index": 0, "width": 416, "height": 312}]
    write(file, images, [box(0)])

    assert load_annotations(file, 5, sizes=[(416, 312)]).frames[0].class_names == ("car",)
    with pytest.raises(AnnotationError, match=r"416x312 pixels, the clip of 320x240; scale its"):
        load_annotations(file, 5, sizes=[(320, 240)])


def test_too_few_images_cannot_be_matched(file: Path) -> None:
    write(file, [{"id": n, "file_name": f"{n}.png"} for n in range(3)], [])

    with pytest.raises(
        AnnotationError, match=r"one image a frame or a frame_index .* 3 images, .* 4 frames"
    ):
        load_annotations(file, 4)


def test_a_frame_index_on_some_images_only_is_not_enough(file: Path) -> None:
    write(file, [{"id": 0, "file_name": "a", "frame_index": 0}, {"id": 1, "file_name": "b"}], [])

    with pytest.raises(
        AnnotationError, match="2 images, 1 with a frame_index, and the clip 4 frames"
    ):
        load_annotations(file, 4)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"images"', "{}", "\x00\x01", '{"images": [], "annotations": []}'],
)
def test_what_is_not_coco_is_refused(file: Path, text: str) -> None:
    file.write_text(text)

    with pytest.raises(
        AnnotationError, match="must be COCO JSON with images, annotations and categories"
    ):
        load_annotations(file, 4)


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(bytes(range(256)))

    with pytest.raises(AnnotationError, match="must be COCO JSON"):
        load_annotations(file, 4)


def test_a_crowd_is_no_object(file: Path) -> None:
    write(file, [{"id": 0, "frame_index": 0}], [box(0), {**box(0), "iscrowd": 1}])

    assert load_annotations(file, 1).frames[0].class_names == ("car",)


def test_a_box_of_no_image_is_refused(file: Path) -> None:
    write(file, [{"id": 0, "frame_index": 0}], [box(0), box("0")])

    with pytest.raises(AnnotationError, match="image_id '0' is that of no image"):
        load_annotations(file, 1)


def test_files_that_were_joined_without_new_numbers_are_refused(file: Path) -> None:
    images = [{"id": number, "frame_index": frame} for frame, number in enumerate((0, 0, 1))]
    write(file, images, [box(0)])

    with pytest.raises(AnnotationError, match="id 0 is that of 2 images"):
        load_annotations(file, 3)


def test_deep_json_is_refused(file: Path) -> None:
    file.write_text("[" * 100_000)

    with pytest.raises(AnnotationError, match="must be COCO JSON"):
        load_annotations(file, 1)


INDEXED = [{"id": 0, "frame_index": 0}]


@pytest.mark.parametrize(
    ("images", "annotations", "others"),
    [
        ([{"frame_index": 0}], [], {}),
        ([{"id": 0, "frame_index": "x"}], [], {}),
        ([{"id": 0, "frame_index": None}], [], {}),
        ([{"id": 0, "frame_index": float("inf")}], [], {}),
        (["frame_index"], [], {}),
        (INDEXED, [{"image_id": 0, "category_id": 3}], {}),
        (INDEXED, [{"bbox": [0, 0, 1, 1], "category_id": 3}], {}),
        (INDEXED, [{"image_id": 0, "bbox": [0, 0, 1, 1]}], {}),
        (INDEXED, [box(0, category_id=99)], {}),
        (INDEXED, [box([0])], {}),
        (INDEXED, [box(0, (1, 2, 3))], {}),
        (INDEXED, [box(0, "1234x")], {}),
        (INDEXED, [box(0, (1, 2, 3, None))], {}),
        (INDEXED, [box(0, (1, 2, 3, float("nan")))], {}),
        (INDEXED, [box(0, (1, 2, float("inf"), 3))], {}),
        (INDEXED, {"0": box(0)}, {}),
        (INDEXED, [], {"categories": [{"id": 3}]}),
        (INDEXED, [], {"categories": None}),
    ],
)
def test_broken_fields_are_refused(
    file: Path, images: object, annotations: object, others: dict[str, object]
) -> None:
    write(file, images, annotations, **others)

    with pytest.raises(AnnotationError, match=r"must be COCO JSON .* is not: \w+"):
        load_annotations(file, 4)


def test_an_object_may_have_a_text(file: Path) -> None:
    texts: list[dict[str, object]] = [
        {"text": "京P·L3N67"},
        {"attributes": {"occluded": False, "text": "HH-4711"}},
        {"text": "HH-4711", "attributes": {"text": "another"}},
        {"text": None},
        {"text": "###"},
        {"attributes": ["dirty", "text"]},
        {},
    ]
    images = [{"id": n, "frame_index": n} for n in range(3)]
    write(file, images, [box(1), *({**box(2), **text} for text in texts)])

    annotations = load_annotations(file, 3)

    assert annotations.texts_on(0) == ()
    assert annotations.texts_on(1) == (None,)
    assert annotations.texts_on(2) == ("京P·L3N67", "HH-4711", "HH-4711", None, None, None, None)


@pytest.mark.parametrize("text", [4711, ["HH"], {}, True])
def test_a_text_that_is_none_is_refused(file: Path, text: object) -> None:
    write(file, INDEXED, [{**box(0), "text": text}])

    with pytest.raises(AnnotationError, match=r"must be COCO JSON .*text .* is no string"):
        load_annotations(file, 4)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"readable file, .*no\.json: No such file"):
        load_annotations(tmp_path / "no.json", 4)
    with pytest.raises(AnnotationError, match=r"readable file, .*: Is a directory"):
        load_annotations(tmp_path, 4)


def test_real_annotations_are_read(data: Path) -> None:
    path = data / "detection" / "annotations" / "coco128_val2017.json"
    coco = json.loads(path.read_text())

    annotations = load_annotations(path, len(coco["images"]))

    found = sum(len(frame.class_names) for frame in annotations.frames.values())
    assert found == len(coco["annotations"]) > 100
