import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.pose import Image
from rtpose.skeleton import BODY21
from training import store as store_module
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


def test_cut_once(drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    first = open_store(people, drawn_people, tmp_path, 0.5, ())
    monkeypatch.setattr(store_module, "read_picture", None)
    again = open_store(people, drawn_people, tmp_path, 0.5, ())
    np.testing.assert_array_equal(first.crops, again.crops)


def test_a_missing_picture_is_left_out_and_named(drawn_people: Path, tmp_path: Path):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    names = list(people.pictures)
    names[3] = "gone.png"
    holed = People(tuple(names), people.sources, people.boxes, people.joints, people.labelled,
                   people.teacher)  # fmt: skip
    store = open_store(holed, drawn_people, tmp_path, 0.5, ())
    assert len(store) == 7 and "gone.png" not in store.people.pictures
    about = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert about["names"] == ["gone.png"] and about["left_out"] == [3]
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


def test_a_picture_that_was_replaced_is_cut_anew(drawn_people: Path, tmp_path: Path):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    folder = tmp_path / "pictures"
    shutil.copytree(drawn_people, folder)
    before = open_store(people, folder, tmp_path, 0.5, ()).crops[3].copy()
    cv2.imwrite(str(folder / people.pictures[3]), np.full((200, 200, 3), 99, np.uint8))
    after = open_store(people, folder, tmp_path, 0.5, ())
    assert (before != 99).any() and (after.crops[3] == 99).mean() > 0.5
    elsewhere = open_store(people, drawn_people, tmp_path, 0.5, ())
    np.testing.assert_array_equal(elsewhere.crops[3], before)


def test_a_name_that_stands_twice_with_two_sizes_moves_nobody(drawn_people: Path, tmp_path: Path):
    """As in labels merged of two sets that number their pictures alike."""
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    rows = [*range(len(people)), 2]
    sizes = np.full((len(rows), 2), 200, np.int32)
    sizes[-1] = 150, 200
    doubled = replace(people.take(np.array(rows)), sizes=sizes)
    store = open_store(doubled, drawn_people, tmp_path, 0.5, ())
    whole = open_store(people, drawn_people, tmp_path, 0.5, ())
    assert store.people.pictures == people.pictures
    np.testing.assert_array_equal(store.crops[: len(people)], whole.crops)


def test_two_runs_at_once_share_what_the_first_has_cut(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    real = store_module.read_picture
    others = []

    def read(path: Path) -> Image | None:
        if not others:  # amid cutting, another run cuts all
            others.append(None)
            others.append(open_store(people, drawn_people, tmp_path, 0.5, ()))
        return real(path)

    monkeypatch.setattr(store_module, "read_picture", read)
    monkeypatch.setattr(store_module, "_THREADS", 1)
    ours = open_store(people, drawn_people, tmp_path, 0.5, ())
    np.testing.assert_array_equal(ours.crops, others[1].crops)
    assert len(list(tmp_path.iterdir())) == 2  # the map, and what stands beside it


def test_a_disk_without_room_is_said(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(RtposeError, match=r"8 cut-out people take 0\.0 GB"):
        open_store(people, drawn_people, tmp_path, 0.5, ())
    assert not list(tmp_path.iterdir())


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
