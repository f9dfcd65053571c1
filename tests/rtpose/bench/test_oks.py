import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rtpose.bench.evaluation import find_split, unlabelled_pictures
from rtpose.bench.inference import Found, predict_found
from rtpose.bench.oks import average_precision
from rtpose.checkpoint import Checkpoint
from rtpose.datasets.coco import read_coco
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.skeleton import BODY21, LSP14

pytest.importorskip("pycocotools")


def found(drawn: Path, by: float = 0.0) -> Found:
    people = read_coco(drawn / "val.json.gz", BODY21)
    joints = np.concatenate([people.joints + by, np.ones((*people.labelled.shape, 1))], axis=-1)
    return Found(people.pictures, joints.astype(np.float32), np.ones(len(people), np.float32))


def test_truth_is_perfect_and_errors_cost(drawn_people: Path):
    labels = drawn_people / "val.json.gz"
    perfect = average_precision(labels, found(drawn_people), BODY21, "drawn")
    assert perfect["AP"] == pytest.approx(100) and perfect["AR"] == pytest.approx(100)
    assert 0 < average_precision(labels, found(drawn_people, 4.0), BODY21, "drawn")["AP"] < 100
    assert average_precision(labels, found(drawn_people, 99.0), BODY21, "drawn")["AP"] == 0


def test_numbers_may_be_text_or_null(drawn_people: Path, tmp_path: Path):
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    for annotation in data["annotations"]:
        annotation["keypoints"] = [str(value) for value in annotation["keypoints"]]
        annotation["bbox"] = [str(value) for value in annotation["bbox"]]
    data["annotations"][0]["keypoints"][:3] = [None, None, 0]
    labels = tmp_path / "val.json"
    labels.write_text(json.dumps(data))
    perfect = average_precision(labels, found(drawn_people), BODY21, "drawn")
    assert perfect["AP"] == pytest.approx(100)


def test_who_is_not_found_and_who_is_not_there(drawn_people: Path):
    labels, everybody = drawn_people / "val.json.gz", found(drawn_people)
    half = Found(everybody.pictures[:4], everybody.joints[:4], everybody.scores[:4])
    assert average_precision(labels, half, BODY21, "drawn")["AR"] == pytest.approx(50)
    nobody = Found((), everybody.joints[:0], everybody.scores[:0])
    assert average_precision(labels, nobody, BODY21, "drawn")["AP"] == 0
    elsewhere = average_precision(labels, everybody, BODY21, "drawn")
    assert elsewhere["AP"] == pytest.approx(100)


def test_a_joint_that_was_not_found_is_no_match(drawn_people: Path):
    labels, poor = drawn_people / "val.json.gz", found(drawn_people, 99.0)
    poor.joints[:, :3] = np.nan
    assert average_precision(labels, poor, BODY21, "drawn")["AP"] == 0
    poor.joints[:] = np.nan
    assert average_precision(labels, poor, BODY21, "drawn")["AP"] == 0
    one_lost = found(drawn_people)
    one_lost.joints[:, BODY21.index["left_wrist"], 0] = np.nan
    assert 0 < average_precision(labels, one_lost, BODY21, "drawn")["AP"] < 100


def test_a_false_person_counts_also_where_a_joint_was_not_found(drawn_people: Path):
    labels, everybody = drawn_people / "val.json.gz", found(drawn_people)
    for lost in (False, True):
        false = found(drawn_people, 99.0)
        false.joints[:, BODY21.index["left_wrist"]] = np.nan if lost else 0.0
        both = Found(
            everybody.pictures * 2,
            np.concatenate([everybody.joints, false.joints]),
            np.concatenate([everybody.scores * 0.5, false.scores]),
        )
        assert average_precision(labels, both, BODY21, "drawn")["AP"] == pytest.approx(50, abs=1)


@pytest.mark.parametrize("area", [0, None])
def test_an_area_that_nobody_measured_is_the_boxs(area: float | None, drawn_people: Path):
    labels = drawn_people / "val.json.gz"
    data = json.loads(gzip.decompress(labels.read_bytes()))
    for annotation in data["annotations"]:
        annotation["area"] = area
    somebody = data["annotations"][0] | {
        "id": 99,
        "keypoints": [],
    }  # whom nobody labelled joints of
    data["annotations"].append(somebody)
    labels.write_bytes(gzip.compress(json.dumps(data).encode()))
    scores = average_precision(labels, found(drawn_people), BODY21, "drawn")
    assert scores["AP"] == pytest.approx(100)
    sizes = scores["AP medium"], scores["AP large"]  # all people are of one of the two
    assert sorted(map(str, np.round(sizes))) == ["100.0", "nan"]


def test_pictures_are_told_apart_by_their_folder(drawn_people: Path, tmp_path: Path):
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    for image in data["images"]:
        image["source"] = image["file_name"] = "ab"[image["id"] % 2]
        image["file_name"] += f"/{image['id'] // 2}.png"
    labels = tmp_path / "a.json"
    labels.write_text(json.dumps(data))
    everybody = found(drawn_people)
    names = [f"{'ab'[i % 2]}/{i // 2}.png" for i in range(8)]
    # wrong on the pictures of b, which have the names of a's
    joints = everybody.joints.copy()
    joints[1::2, :, :2] += 99
    mixed = Found(tuple(names), joints, everybody.scores)
    assert average_precision(labels, mixed, BODY21, "a")["AP"] == pytest.approx(100)
    assert average_precision(labels, mixed, BODY21, "b")["AP"] == 0
    # a folder before all names, as COCO has it
    below = Found(tuple(f"val2017/{name}" for name in names), everybody.joints, everybody.scores)
    assert average_precision(labels, below, BODY21, "a")["AP"] == pytest.approx(100)


def test_a_picture_that_names_no_source_is_of_its_labels(drawn_people: Path, tmp_path: Path):
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    for image in data["images"][::2]:
        del image["source"]
    labels = tmp_path / "mine.json"
    labels.write_text(json.dumps(data))
    for source in ("drawn", "mine.json"):
        assert average_precision(labels, found(drawn_people), BODY21, source)["AP"] == (
            pytest.approx(100)
        )


@pytest.mark.parametrize("folder", ["", "val/", "images/val/"])
def test_pictures_lie_in_folders_that_the_labels_leave_out(drawn_people: Path, folder: str):
    everybody = found(drawn_people)
    names = tuple(folder + name for name in everybody.pictures)
    moved = Found(names, everybody.joints, everybody.scores)
    result = average_precision(drawn_people / "val.json.gz", moved, BODY21, "drawn")
    assert result["AP"] == pytest.approx(100)


def test_what_nobody_else_reads_of_the_labels_is_not_counted(drawn_people: Path, tmp_path: Path):
    """A dog's joints, a place that is no number, and a person without a box."""
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    first = data["annotations"][0]
    number = data["categories"][0]["id"] = first["category_id"] = 1
    for annotation in data["annotations"]:
        annotation["category_id"] = number
    data["categories"].append({"id": 2, "keypoints": ["nose", "tail"]})
    dog = {"id": 90, "image_id": 0, "category_id": 2, "bbox": [1, 1, 9, 9], "keypoints": [3] * 6}
    boxless = first | {"id": 91, "bbox": []}
    data["annotations"] += [dog, boxless]
    labels = tmp_path / "a.json"
    labels.write_text(json.dumps(data))
    everybody = found(drawn_people)
    assert average_precision(labels, everybody, BODY21, "drawn")["AR"] == pytest.approx(100)
    assert len(read_coco(labels, BODY21)) == len(everybody.pictures)
    away = found(drawn_people, 99.0)
    first["keypoints"][0] = float("nan")
    labels.write_text(json.dumps(data))
    assert average_precision(labels, away, BODY21, "drawn")["AP"] == 0


def test_people_without_keypoints_are_no_fault_of_ours(drawn_people: Path, tmp_path: Path):
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    data["annotations"].append({"id": 99, "image_id": 0, "bbox": [1, 1, 20, 20]})
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert average_precision(tmp_path / "a.json", found(drawn_people), BODY21, "drawn")["AP"] == (
        pytest.approx(100)
    )


def test_a_crowd_without_a_box_is_left_out(drawn_people: Path, tmp_path: Path):
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    data["annotations"].append({"id": 99, "image_id": 0, "iscrowd": 1})
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert average_precision(tmp_path / "a.json", found(drawn_people), BODY21, "drawn")["AP"] == (
        pytest.approx(100)
    )


def test_pictures_of_nobody_are_looked_at_too(drawn_people: Path, tmp_path: Path, tiny: Checkpoint):
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    (tmp_path / "val").mkdir()
    for image in data["images"]:
        shutil.copy(drawn_people / image["file_name"], tmp_path / "val")
    data["images"] += [
        {"id": 50 + i, "file_name": f"empty-{i}.png", "source": source, "boxes_complete": complete}
        for i, (source, complete) in enumerate([("drawn", True), ("drawn", False), ("b", True)])
    ]
    (tmp_path / "val.json").write_text(json.dumps(data))
    split = find_split(tmp_path)
    people, _ = split.read(BODY21)
    assert unlabelled_pictures(split, people, ["drawn"]) == ["val/empty-0.png"]
    assert unlabelled_pictures(split, people, []) == []

    def everywhere(image):
        return np.float32([[50, 50, 150, 150]]), np.float32([0.9])

    shutil.copy(tmp_path / "val" / "val-0.png", tmp_path / "val" / "empty-0.png")
    estimator = Estimator(everywhere, EagerEngine(tiny), BODY21)
    _, _, seen = predict_found(people, tmp_path, estimator, ["val/empty-0.png"])
    assert seen.pictures[-1] == "val/empty-0.png" and len(seen.pictures) == len(people) + 1
    truth = found(drawn_people)
    names = (*truth.pictures, "val/empty-0.png")
    alarmed = Found(
        names, np.concatenate([truth.joints, truth.joints[:1]]), np.append(truth.scores, 2.0)
    )
    before = average_precision(tmp_path / "val.json", truth, BODY21, "drawn")["AP"]
    after = average_precision(tmp_path / "val.json", alarmed, BODY21, "drawn")["AP"]
    assert after < before == pytest.approx(100)
    with pytest.raises(RtposeError, match="1 of 1 pictures are missing"):
        predict_found(people, tmp_path, estimator, ["val/empty-1.png"])


def test_joints_that_are_missing_are_named(drawn_people: Path, tmp_path: Path):
    with pytest.raises(RtposeError, match="skeleton lsp14: COCO's AP needs the joints nose"):
        average_precision(drawn_people / "val.json.gz", found(drawn_people), LSP14, "drawn")
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    data["categories"][0]["keypoints"][16] = "beak"
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(RtposeError, match=r"a\.json: COCO's AP needs the joints nose"):
        average_precision(tmp_path / "a.json", found(drawn_people), BODY21, "drawn")
