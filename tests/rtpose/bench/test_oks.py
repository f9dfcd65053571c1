import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from rtpose.bench.accuracy import Found
from rtpose.bench.oks import average_precision
from rtpose.datasets.coco import read_coco
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21, LSP14

pytest.importorskip("pycocotools")


def found(drawn: Path, by: float = 0.0) -> Found:
    people = read_coco(drawn / "val.json.gz", BODY21)
    joints = np.concatenate([people.joints + by, np.ones((*people.labelled.shape, 1))], axis=-1)
    return Found(people.pictures, joints.astype(np.float32), np.ones(len(people), np.float32))


def test_truth_is_perfect_and_errors_cost(drawn_people: Path):
    labels = drawn_people / "val.json.gz"
    perfect = average_precision(labels, found(drawn_people), BODY21)
    assert perfect["AP"] == pytest.approx(100) and perfect["AR"] == pytest.approx(100)
    assert 0 < average_precision(labels, found(drawn_people, 4.0), BODY21)["AP"] < 100
    assert average_precision(labels, found(drawn_people, 99.0), BODY21)["AP"] == 0


def test_who_is_not_found_and_who_is_not_there(drawn_people: Path):
    labels, everybody = drawn_people / "val.json.gz", found(drawn_people)
    half = Found(everybody.pictures[:4], everybody.joints[:4], everybody.scores[:4])
    assert average_precision(labels, half, BODY21)["AR"] == pytest.approx(50)
    nobody = Found((), everybody.joints[:0], everybody.scores[:0])
    assert average_precision(labels, nobody, BODY21)["AP"] == 0
    elsewhere = average_precision(labels, everybody, BODY21, source="drawn")
    assert elsewhere["AP"] == pytest.approx(100)


def test_a_joint_that_was_not_found_is_no_match(drawn_people: Path):
    labels, poor = drawn_people / "val.json.gz", found(drawn_people, 99.0)
    poor.joints[:, :3] = np.nan
    assert average_precision(labels, poor, BODY21)["AP"] == 0
    poor.joints[:] = np.nan
    assert average_precision(labels, poor, BODY21)["AP"] == 0
    one_lost = found(drawn_people)
    one_lost.joints[:, BODY21.index["left_wrist"], 0] = np.nan
    assert 0 < average_precision(labels, one_lost, BODY21)["AP"] < 100


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
    assert average_precision(labels, below, BODY21)["AP"] == pytest.approx(100)


def test_joints_that_are_missing_are_named(drawn_people: Path, tmp_path: Path):
    with pytest.raises(RtposeError, match="skeleton lsp14: COCO's AP needs the joints nose"):
        average_precision(drawn_people / "val.json.gz", found(drawn_people), LSP14)
    data = json.loads(gzip.decompress((drawn_people / "val.json.gz").read_bytes()))
    data["categories"][0]["keypoints"][16] = "beak"
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(RtposeError, match=r"a\.json: COCO's AP needs the joints nose"):
        average_precision(tmp_path / "a.json", found(drawn_people), BODY21)
