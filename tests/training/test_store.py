import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21
from training.store import STORE_SIDE, open_store


def test_joints_lie_on_their_dots(drawn_people: Path, tmp_path: Path):
    """Each joint's colour is under its coordinates in the stored square."""
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    store = open_store(people, drawn_people, tmp_path, 0.5, ())
    assert store.crops.shape == (8, 3, STORE_SIDE, STORE_SIDE)
    last = len(BODY21) - 1  # drawn last, so never covered
    colour = np.random.default_rng(last).integers(0, 256, 3)[::-1]
    for crop, joint in zip(store.crops, store.joints[:, last], strict=True):
        x, y = joint.round().astype(int)
        np.testing.assert_allclose(crop[:, y, x], colour, atol=40)


def test_cut_once(drawn_people: Path, tmp_path: Path):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    first = open_store(people, drawn_people, tmp_path, 0.5, ())
    again = open_store(people, tmp_path / "pictures are gone", tmp_path, 0.5, ())
    np.testing.assert_array_equal(first.crops, again.crops)


def test_a_missing_picture_is_left_out_and_named(drawn_people: Path, tmp_path: Path):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    names = list(people.pictures)
    names[3] = "gone.png"
    holed = People(tuple(names), people.sources, people.boxes, people.joints, people.labelled,
                   people.teacher)  # fmt: skip
    store = open_store(holed, drawn_people, tmp_path, 0.5, ())
    assert len(store) == 7 and "gone.png" not in store.people.pictures
    assert next(tmp_path.glob("*.json")).read_text() == '["gone.png"]'
    whole = open_store(people, drawn_people, tmp_path, 0.5, ())
    np.testing.assert_array_equal(store.crops[3], whole.crops[4])


def test_a_picture_that_has_come_is_cut(drawn_people: Path, tmp_path: Path):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    folder = tmp_path / "pictures"
    shutil.copytree(drawn_people, folder)
    (folder / people.pictures[3]).rename(tmp_path / "away.png")
    assert len(open_store(people, folder, tmp_path, 0.5, ())) == 7
    (tmp_path / "away.png").rename(folder / people.pictures[3])
    whole = open_store(people, folder, tmp_path, 0.5, ())
    fresh = open_store(people, folder, tmp_path / "fresh", 0.5, ())
    assert whole.people.pictures == people.pictures
    np.testing.assert_array_equal(whole.crops, fresh.crops)


def test_another_picture_of_the_same_name_is_left_out(drawn_people: Path, tmp_path: Path):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    assert people.sizes is None
    sizes = np.full((8, 2), 200, np.int32)
    sizes[5] = 150, 200
    labelled = replace(people, sizes=sizes)
    store = open_store(labelled, drawn_people, tmp_path, 0.5, ())
    assert len(store) == 7 and people.pictures[5] not in store.people.pictures
    # labels of the same boxes that say nothing of sizes are other people
    assert len(open_store(people, drawn_people, tmp_path, 0.5, ())) == 8


def test_no_picture_at_all(drawn_people: Path, tmp_path: Path):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    with pytest.raises(RtposeError, match=r"none of 8 pictures can be used, e\.g\. train-0\.png"):
        open_store(people, tmp_path, tmp_path, 0.5, ())
    assert not list(tmp_path.iterdir())
