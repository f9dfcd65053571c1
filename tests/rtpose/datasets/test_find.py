import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from rtpose.datasets.find import find_dataset
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21
from training.detector_data import read_labels

PERSON = {"id": 1, "image_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [1, 2, 2]}
COCO = {
    "categories": [{"keypoints": ["nose"]}],
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [PERSON],
}


def test_coco_splits_are_the_json_files(tmp_path: Path):
    for name in ("lsp_test", "val", "train"):
        with gzip.open(tmp_path / f"{name}.json.gz", "wt") as file:
            json.dump(COCO, file)
    found = find_dataset(tmp_path)
    assert (found.format, found.pictures) == ("COCO keypoints", tmp_path)
    assert list(found.splits) == ["train", "val", "lsp_test"]
    assert found.wanting == ()
    assert found.read("lsp_test", BODY21).pictures == ("a.jpg",)
    with pytest.raises(RtposeError, match="no split 'test'; it has train, val, lsp_test"):
        found.read("test", BODY21)


def test_coco_splits_may_have_pictures_of_the_same_name(tmp_path: Path):
    """In folders named like the splits; those of a split without one lie beside the labels."""
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.json").write_text(json.dumps(COCO))
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").touch()
    found = find_dataset(tmp_path)
    assert found.pictures == tmp_path
    shown = {split: found.read(split, BODY21).pictures for split in found.splits}
    assert shown == {"train": ("train/a.jpg",), "val": ("val/a.jpg",), "test": ("a.jpg",)}


def test_a_folder_that_the_labels_name_is_not_named_twice(tmp_path: Path):
    images = [{"id": 1, "file_name": "train/a.jpg"}]
    (tmp_path / "train.json").write_text(json.dumps(COCO | {"images": images}))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.jpg").touch()
    assert find_dataset(tmp_path).read("train", BODY21).pictures == ("train/a.jpg",)


def test_what_tools_that_label_export(tmp_path: Path):
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(COCO))
        (tmp_path / split / "a.jpg").touch()
    found = find_dataset(tmp_path)
    assert list(found.splits) == ["train", "val"] and found.wanting == ()
    assert found.read("val", BODY21).pictures == ("valid/a.jpg",)


@pytest.mark.parametrize("folder", ["images", "images/train", "train"])
def test_labels_in_a_folder_of_their_own(folder: str, tmp_path: Path):
    (tmp_path / "annotations").mkdir()
    for name in ("train", "validation", "captions_val2017"):
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(COCO))
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "a.jpg").touch()
    found = find_dataset(tmp_path)
    assert list(found.splits) == ["train", "val"]
    assert found.read("train", BODY21).pictures == (f"{folder}/a.jpg",)
    assert (found.pictures / found.read("train", BODY21).pictures[0]).is_file()


def test_cocos_own_layout(tmp_path: Path):
    (tmp_path / "annotations").mkdir()
    for name in ("train2017", "val2017"):
        (tmp_path / "annotations" / f"person_keypoints_{name}.json").write_text(json.dumps(COCO))
    found = find_dataset(tmp_path)
    assert list(found.splits) == ["train", "val"]
    assert found.read("val", BODY21).pictures == ("val2017/a.jpg",)
    assert found.pictures == tmp_path
    elsewhere = COCO | {"images": [{"id": 1, "file_name": "/elsewhere/a.jpg"}]}
    (tmp_path / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(elsewhere))
    assert found.read("val", BODY21).pictures == ("/elsewhere/a.jpg",)


@pytest.mark.parametrize("folder", ["images/train", "images"])
def test_cvats_layout_beside_labels_of_ones_own(folder: str, tmp_path: Path):
    for name in ("annotations", folder, "images/test"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    labels = tmp_path / "annotations" / "person_keypoints_train.json"
    labels.write_text(json.dumps(COCO))
    (tmp_path / "test.json").write_text(json.dumps(COCO))
    for name in (folder, "images/test"):
        (tmp_path / name / "a.jpg").touch()
    found = find_dataset(tmp_path)
    for split in ("train", "test"):
        (picture,) = found.read(split, BODY21).pictures
        assert (found.pictures / picture).is_file()
    assert read_labels(labels, tmp_path)[0].path == tmp_path / folder / "a.jpg"


def test_cvats_names_of_splits(tmp_path: Path):
    (tmp_path / "annotations").mkdir()
    for name in ("Train", "Validation"):
        (tmp_path / "annotations" / f"person_keypoints_{name}.json").write_text(json.dumps(COCO))
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "a.jpg").touch()
    found = find_dataset(tmp_path)
    assert list(found.splits) == ["train", "val"]
    assert found.read("val", BODY21).pictures == ("images/Validation/a.jpg",)


def test_what_a_set_lacks_is_said(tmp_path: Path):
    (tmp_path / "train.json").write_text(json.dumps(COCO))
    assert find_dataset(tmp_path).wanting == ("no val split",)


def test_lsp_and_lsp_extended(tmp_path: Path):
    (tmp_path / "images").mkdir()
    savemat(tmp_path / "joints.mat", {"joints": np.ones((3, 14, 4)) * np.arange(14)[:, None]})
    found = find_dataset(tmp_path)
    assert (found.format, list(found.splits)) == ("Leeds Sports Poses", ["train", "test"])
    assert found.pictures == tmp_path / "images"
    assert len(found.read("test", BODY21)) == 2
    savemat(tmp_path / "joints.mat", {"joints": np.ones((14, 3, 4)) * np.arange(14)[:, None, None]})
    found = find_dataset(tmp_path)
    assert (found.format, list(found.splits)) == ("LSP-Extended", ["train"])


def test_mpii_as_hrnet_and_mmpose_lay_it_out(tmp_path: Path):
    (tmp_path / "annot").mkdir()
    row = {"image": "a.jpg", "center": [9, 9], "scale": 1.0, "joints": [[3, 4]] * 16}
    for name in ("train", "valid"):
        (tmp_path / "annot" / f"{name}.json").write_text(json.dumps([row]))
    found = find_dataset(tmp_path)
    assert (found.format, list(found.splits)) == ("MPII Human Pose", ["train", "val"])
    assert len(found.wanting) == 1 and "no head boxes" in found.wanting[0]
    assert found.read("val", BODY21).head_sizes is None
    truth = {"pos_gt_src": np.full((16, 2, 1), 7.0), "jnt_missing": np.zeros((16, 1))}
    boxes = np.array([[[0.0], [0.0]], [[3.0], [4.0]]])
    savemat(tmp_path / "annot" / "gt_valid.mat", truth | {"headboxes_src": boxes})
    found = find_dataset(tmp_path)
    assert found.wanting == ()
    val = found.read("val", BODY21)
    np.testing.assert_allclose(val.head_sizes, [3.0], rtol=1e-6)
    assert val.joints[0, 0].tolist() == [6, 6]


def test_the_shared_sets(shared: Path):
    expected = {"mpii": "MPII Human Pose", "flic": "FLIC", "people": "COCO keypoints"}
    for folder, name in expected.items():
        found = find_dataset(shared / folder)
        assert found.format == name and {"train", "val"} <= set(found.splits)


def test_the_labels_themselves_are_no_folder(tmp_path: Path):
    (tmp_path / "val.json").write_text("{}")
    with pytest.raises(RtposeError, match=r"val\.json is a file; name the folder of the data set"):
        find_dataset(tmp_path / "val.json")


def test_nothing_there(tmp_path: Path):
    with pytest.raises(RtposeError, match="no labels found; a data set has COCO-format json"):
        find_dataset(tmp_path)
    with pytest.raises(RtposeError, match="no such folder"):
        find_dataset(tmp_path / "gone")
