import csv
import gzip
import io
import json
import logging
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from scipy.io import savemat

from rtpose.datasets.find import find_dataset
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21
from training.data import OUTSIDE, check_people, report, training_people


@pytest.fixture
def damaged(drawn_people: Path, tmp_path: Path) -> Path:
    """Of eight training pictures one is missing, one cut short; one joint is outside its own."""
    folder = tmp_path / "damaged"
    shutil.copytree(drawn_people, folder)
    (folder / "train-1.png").unlink()
    whole = (folder / "train-2.png").read_bytes()
    (folder / "train-2.png").write_bytes(whole[: len(whole) // 2])
    with gzip.open(folder / "train.json.gz", "rt") as file:
        data = json.load(file)
    at = 3 * BODY21.index["left_knee"]
    data["annotations"][3]["keypoints"][at : at + 3] = [150, 204.6, 2]
    with gzip.open(folder / "train.json.gz", "wt") as file:
        json.dump(data, file)
    return folder


def told(folder: Path, out: Path | None = None) -> str:
    text = io.StringIO()
    report(folder, BODY21, Console(file=text, width=300), out)
    return text.getvalue()


def test_what_is_wrong_is_told_by_name_and_count(damaged: Path, tmp_path: Path):
    text = told(damaged, tmp_path / "problems.csv")
    assert "COCO keypoints, pictures in" in text
    assert "missing picture: 1: train-1.png" in text
    assert "broken picture: 1: train-2.png" in text
    assert "joint outside its picture: 1: train-3.png: left_knee at 150, 205" in text
    assert "To get pictures: " in text
    row = next(line for line in text.splitlines() if line.startswith("│ train"))
    assert [cell.strip() for cell in row.split("│")[2:6]] == ["8", "8", "6", "no"]
    row = next(line for line in text.splitlines() if "left_ankle" in line)
    assert [cell.strip() for cell in row.split("│")[2:4]] == ["8", "8"]
    with (tmp_path / "problems.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["train-1.png", "train-2.png", "train-3.png"]


def test_another_picture_of_the_same_name_is_told_and_left_out(drawn_people: Path, tmp_path: Path):
    """As when two splits that number their pictures alike are unpacked into one folder."""
    folder = tmp_path / "overwritten"
    shutil.copytree(drawn_people, folder)
    with gzip.open(folder / "train.json.gz", "rt") as file:
        data = json.load(file)
    for image in data["images"]:
        image |= {"width": 200, "height": 200}
    with gzip.open(folder / "train.json.gz", "wt") as file:
        json.dump(data, file)
    assert "another size" not in told(folder)
    cv2.imwrite(str(folder / "train-4.png"), np.zeros((120, 160, 3), np.uint8))
    text = told(folder)
    expected = "picture of another size than labelled: 1: train-4.png: 160x120, labelled at 200x200"
    assert expected in text and "To get pictures: " in text
    row = next(line for line in text.splitlines() if line.startswith("│ train"))
    assert [cell.strip() for cell in row.split("│")[3:5]] == ["8", "7"]


def test_a_whole_set_has_nothing_to_complain_of(drawn_people: Path):
    text = told(drawn_people)
    assert "picture:" not in text and "To get" not in text


def test_many_problems_are_counted_not_listed(damaged: Path):
    for i in range(3, 8):
        (damaged / f"train-{i}.png").unlink()
    text = told(damaged)
    assert "missing picture: 6: train-1.png; train-3.png; " in text and "; and 1 more" in text
    assert "train-7.png" not in text


def test_pictures_in_two_splits_are_told(drawn_people: Path, tmp_path: Path):
    folder = tmp_path / "leaking"
    shutil.copytree(drawn_people, folder)
    shutil.copy(folder / "train.json.gz", folder / "test.json.gz")
    assert "picture in two splits: 8: train-0.png: train and test; " in told(folder)


def test_labels_that_cannot_be_read_are_told_and_the_rest_is_shown(damaged: Path):
    (damaged / "notes.json").write_text("{}")
    assert "unreadable labels: 1: notes: " in told(damaged)


def test_nobody_to_train_on_is_one_clear_error(damaged: Path):
    for picture in damaged.glob("*.png"):
        picture.unlink()
    with pytest.raises(RtposeError, match="none of 16 people has a picture that can be read; get"):
        told(damaged)


def test_labels_none_of_which_can_be_read_are_not_for_lack_of_pictures(tmp_path: Path):
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(RtposeError, match="none of its labels can be read"):
        told(tmp_path)


def test_training_leaves_broken_pictures_out_before_it_begins(
    damaged: Path, caplog: pytest.LogCaptureFixture
):
    (damaged / "val-5.png").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        people, val = training_people(find_dataset(damaged), BODY21)
    assert len(people) == 8 and len(val) == 7 and "val-5.png" not in val.pictures
    assert "val: broken picture: 1: val-5.png" in caplog.text
    for picture in damaged.glob("val-*.png"):
        picture.unlink()
    with pytest.raises(RtposeError, match="none of the pictures of 8 people of the val split"):
        training_people(find_dataset(damaged), BODY21)


def test_without_a_val_split_the_last_pictures_are_held_back(
    drawn_people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "lsp"
    (folder / "images").mkdir(parents=True)
    joints = np.random.default_rng(0).uniform(60, 140, (14, 3, 8))
    joints[:, 2] = 1
    savemat(folder / "joints.mat", {"joints": joints})
    for i in range(8):
        # OpenCV goes by what is in a file, not by its name
        shutil.copy(drawn_people / f"train-{i}.png", folder / "images" / f"im{i + 1:05d}.jpg")
    with caplog.at_level(logging.WARNING):
        people, val = training_people(find_dataset(folder), BODY21)
    assert len(people) == 7 and val.pictures == ("im00008.jpg",)
    assert "LSP-Extended has no val split: 1 people in its last pictures" in caplog.text


def test_nobody_learns_from_a_split_to_judge_by(drawn_people: Path, tmp_path: Path):
    shutil.copytree(drawn_people, tmp_path / "people")
    (tmp_path / "people" / "train.json.gz").unlink()
    with pytest.raises(RtposeError, match="the only split is val, and there is none to learn from"):
        training_people(find_dataset(tmp_path / "people"), BODY21)


def test_the_shared_val_pictures_in_a_folder_of_their_own(shared: Path, tmp_path: Path):
    """All are those that were labelled; beside the labels, train's overwrite them by name."""
    (tmp_path / "val").mkdir()
    shutil.copy(shared / "people" / "val.json.gz", tmp_path)
    with tarfile.open(shared / "people" / "val-00.tar") as tar:
        tar.extractall(tmp_path / "val", filter="data")
    dataset = find_dataset(tmp_path)
    people = dataset.read("val", BODY21)
    kinds = {p.kind for p in check_people(people, dataset.pictures, BODY21).problems}
    assert len(people) == 493 and kinds <= {OUTSIDE}


def test_the_labelled_mpii_pictures(shared: Path, tmp_path: Path):
    """Real pictures with real labels: all read, all joints inside."""
    mpii = shared / "mpii"
    for file in ("mpii_annotations.json.gz", "detections_our_format.mat"):
        (tmp_path / file).symlink_to(mpii / file)
    (tmp_path / "images").symlink_to(mpii / "images_labelled")
    here = {path.name for path in (mpii / "images_labelled").iterdir()}
    dataset = find_dataset(tmp_path)
    for split, count in (("train", 13), ("val", 6)):
        people = dataset.read(split, BODY21)
        rows = [i for i, name in enumerate(people.pictures) if name in here]
        checked = check_people(people.take(np.array(rows)), dataset.pictures, BODY21)
        assert len(checked.people) == count and not checked.problems
