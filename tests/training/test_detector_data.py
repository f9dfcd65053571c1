import gzip
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpose.errors import RtposeError
from training.detector_data import (
    LabelledPicture,
    _place,
    augmented,
    difference_hash,
    read_labels,
    scene_numbers,
    split_by_scene,
    visible_boxes,
)


def scene(seed):
    """A smooth random picture."""
    random = np.random.default_rng(seed)
    return cv2.resize(random.integers(0, 256, (9, 9, 3), np.uint8), (96, 96))


@pytest.fixture()
def pictures(tmp_path):
    """Twelve scenes, each followed by its mirror image."""
    made = []
    for i in range(24):
        image = scene(i // 2)
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), image[:, ::-1] if i % 2 else image)
        made.append(LabelledPicture(path, np.float32([[10, 20, 50, 80]]), "set", True))
    return made


def test_reads_boxes(tmp_path):
    images = [
        {"id": i, "file_name": f"{s}.webp", "source": s, "boxes_complete": s == "a"}
        for i, s in enumerate("abc")
    ]
    # somebody's own labels say neither
    images[2] = {"id": 2, "file_name": "c.webp"}
    annotations = [
        {"image_id": 0, "bbox": [1, 2, 3, 4]},
        {"image_id": 0, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        {"image_id": 2, "bbox": [0, 0, 9, 9]},
    ]
    path = tmp_path / "labels.json.gz"
    path.write_bytes(
        gzip.compress(json.dumps({"images": images, "annotations": annotations}).encode())
    )
    first, second, third = read_labels(path, tmp_path)
    np.testing.assert_array_equal(first.boxes, [[1, 2, 4, 6]])
    assert first.complete
    assert second.boxes.shape == (0, 4)
    assert not second.complete
    assert third.source == "labels.json.gz" and not third.complete


def test_people_are_of_one_category(tmp_path):
    image = {"id": 0, "file_name": "a.webp"}
    annotations = [
        {"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"image_id": 0, "category_id": 18, "bbox": [5, 5, 5, 5]},
        {"image_id": 0, "category_id": 1, "bbox": []},
    ]
    path = tmp_path / "labels.json"

    def boxes(*names: str) -> list[list[float]]:
        numbers = (18, 1) if len(names) > 1 else (1,)
        categories = [{"id": n, "name": name} for n, name in zip(numbers, names, strict=True)]
        data = {"images": [image], "annotations": annotations, "categories": categories}
        path.write_text(json.dumps(data))
        return read_labels(path, tmp_path)[0].boxes.tolist()

    assert boxes("dog", "Person") == boxes("skater") == [[1, 2, 4, 6]]
    with pytest.raises(RtposeError, match="none of its categories is called person: dog, cat"):
        boxes("dog", "cat")


def test_roboflows_labels_lie_beside_their_pictures(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.webp").touch()
    labels = tmp_path / "train" / "_annotations.coco.json"
    labels.write_text(json.dumps({"images": [{"id": 0, "file_name": "a.webp"}], "annotations": []}))
    assert read_labels(labels, tmp_path)[0].path == tmp_path / "train" / "a.webp"


def test_pictures_may_lie_in_a_folder_named_like_the_labels(tmp_path):
    image = {"id": 0, "file_name": "a.webp", "source": "a", "boxes_complete": True}
    labels = tmp_path / "train.json.gz"
    labels.write_bytes(gzip.compress(json.dumps({"images": [image], "annotations": []}).encode()))
    assert read_labels(labels, tmp_path)[0].path == tmp_path / "a.webp"
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.webp").touch()
    assert read_labels(labels, tmp_path)[0].path == tmp_path / "train" / "a.webp"


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"{",
        b"{}",
        b'{"images": [{}], "annotations": []}',
        b'{"images": [], "annotations": [null]}',
    ],
)
def test_says_which_labels_are_broken(tmp_path, content):
    path = tmp_path / "labels.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RtposeError, match=r"labels\.json"):
        read_labels(path, tmp_path)


def test_copies_and_mirror_images_are_one_scene(pictures):
    scenes = scene_numbers([difference_hash(p.read()) for p in pictures])
    np.testing.assert_array_equal(scenes, np.repeat(np.arange(12), 2))


def test_split_never_parts_a_scene_and_depends_on_the_seed_alone(pictures):
    rest, held = split_by_scene(pictures, 8, seed=3)
    assert len(held) == 8
    assert len(rest) == 16
    numbers = {int(p.path.stem) // 2 for p in held}
    assert numbers.isdisjoint(int(p.path.stem) // 2 for p in rest)
    assert [p.path for p in split_by_scene(pictures, 8, seed=3)[1]] == [p.path for p in held]
    assert [p.path for p in split_by_scene(pictures, 8, seed=4)[1]] != [p.path for p in held]


@given(st.integers(0, 2**31))
def test_boxes_follow_the_pixels(seed):
    image = np.zeros((80, 120, 3), np.uint8)
    image[30:60, 20:70] = 255

    class Marked(LabelledPicture):
        def read(self):
            return image

    picture = Marked(None, np.float32([[20, 30, 70, 60]]), "set", True)
    view, boxes = _place(picture, 100, 90, np.random.default_rng(seed))
    marked = (view > 200).all(axis=2)
    if len(boxes) == 0:
        return
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(boxes[0], seen, atol=1.5)


def test_examples_have_the_asked_size_and_boxes_inside(pictures):
    random = np.random.default_rng(0)
    for mosaic in (0.0, 1.0):
        for _ in range(10):
            image, boxes = augmented(pictures, 64, random, mosaic)
            assert image.shape == (64, 64, 3)
            assert image.dtype == np.uint8
            assert boxes.shape[1:] == (4,)
            assert boxes.min(initial=0) >= 0
            assert boxes.max(initial=0) <= 64


def test_hardly_visible_people_are_dropped():
    boxes = np.float32([[-90, 0, 10, 50], [-10, 0, 90, 50], [60, 10, 63, 40], [0, 0, 40, 40]])
    kept = visible_boxes(boxes, 50, 100)
    np.testing.assert_array_equal(kept, [[0, 0, 90, 50], [0, 0, 40, 40]])


def test_a_picture_of_another_size_than_labelled_is_refused(tmp_path):
    image = {"id": 0, "file_name": "a.png", "width": 90, "height": 60}
    labels = tmp_path / "train.json"
    labels.write_text(json.dumps({"images": [image], "annotations": []}))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 90, 3), np.uint8))
    (picture,) = read_labels(labels, tmp_path)
    assert picture.read().shape == (60, 90, 3)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((90, 60, 3), np.uint8))
    with pytest.raises(RtposeError, match=r"a\.png: is 60x90, not as large as its labels say"):
        picture.read()
