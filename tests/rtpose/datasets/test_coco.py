import gzip
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import count_sources
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21, COCO17
from training.detector_data import read_labels


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


def coco(names: list[str], annotations: list[dict[str, object]]) -> dict[str, object]:
    return {
        "categories": [{"keypoints": names}],
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "bbox": [10, 20, 30, 40]} | a for a in annotations
        ],
    }


def test_joints_are_matched_by_name(tmp_path: Path):
    data = coco(["nose", "tail", "left_knee"], [{"keypoints": [1, 2, 2, 3, 4, 2, 5, 6, 1]}])
    people = read_coco(write(tmp_path / "a.json", data), BODY21)
    assert len(people) == 1
    assert people.boxes.tolist() == [[10, 20, 40, 60]]
    known = {BODY21.joints[k] for k in np.flatnonzero(people.labelled[0])}
    assert known == {"nose", "left_knee"}
    assert people.joints[0, BODY21.index["left_knee"]].tolist() == [5, 6]


def test_a_category_without_joints_may_come_first(tmp_path: Path):
    data = coco(["Nose", "Left Knee"], [])
    data["categories"] = [{"id": 0, "name": "gym"}, {"id": 1, **data["categories"][0]}]  # type: ignore[index]
    data["annotations"] = [
        {"id": 1, "image_id": 7, "bbox": [1, 2, 3, 4], "category_id": 0},
        {"id": 2, "image_id": 7, "bbox": [10, 20, 30, 40], "category_id": 1,
         "keypoints": [1, 2, 2, 5, 6, 1]},
    ]  # fmt: skip
    people = read_coco(write(tmp_path / "a.json", data), BODY21)
    assert people.boxes.tolist() == [[10, 20, 40, 60]]
    known = {BODY21.joints[k] for k in np.flatnonzero(people.labelled[0])}
    assert known == {"nose", "left_knee"}


def test_sizes_are_known_where_every_picture_has_one(tmp_path: Path):
    person = {"keypoints": [1, 2, 2]}
    data = coco(["nose"], [person, {"image_id": 8} | person])
    sized = {"id": 7, "file_name": "a.jpg", "width": 40, "height": 60}
    other = {"id": 8, "file_name": "b.jpg", "width": 50, "height": 70}
    path = tmp_path / "a.json"
    people = read_coco(write(path, data | {"images": [sized, other]}), BODY21)
    assert [people.labelled_size(i) for i in (0, 1)] == [(40, 60), (50, 70)]
    assert people.take(np.array([1])).labelled_size(0) == (50, 70)
    people = read_coco(
        write(path, data | {"images": [sized, {"id": 8, "file_name": "b.jpg"}]}), BODY21
    )
    assert people.labelled_size(0) is None


def test_teacher_only_people_count_and_empty_ones_do_not(tmp_path: Path):
    teacher = {"keypoints": [0] * 3, "teacher_keypoints": [4, 5, 0.8]}
    nobody, neither = {"keypoints": [0] * 3}, {"keypoints": []}
    crowd = {"keypoints": [1, 1, 2], "iscrowd": 1}
    people = read_coco(
        write(tmp_path / "a.json", coco(["nose"], [teacher, nobody, neither, crowd])), COCO17
    )
    assert len(people) == 1 and people.sources == ("a.json",)
    assert not people.labelled.any()
    np.testing.assert_allclose(people.teacher[0, COCO17.index["nose"]], [4, 5, 0.8])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not COCO keypoint format"),
        ({"images": []}, "not COCO keypoint format"),
        (coco(["nose"], [{"keypoints": [1, 2]}]), "annotation 1 has 2 keypoint numbers"),
        (coco(["nose"], [{"keypoints": 5}]), "annotation 1 has 5 keypoint numbers"),
        (
            coco(["nose"], [{"keypoints": ["a", 2, 2]}]),
            "annotation 1 has keypoints that are no num",
        ),
        (coco(["tail"], [{"keypoints": [1, 2, 2]}]), "no person with a joint of the skeleton"),
        (coco(["nose"], [{"keypoints": [1, 2, 2], "bbox": None}]), "no person with a box"),
        (
            coco(["nose"], [{"keypoints": [1, 2, 2], "bbox": [1]}]),
            r"annotation 1 has the bbox \[1\]",
        ),
        (coco(["nose"], [{"keypoints": [1, 2, 2], "image_id": "7"}]), "the image with id '7'"),
    ],
)
def test_bad_files(tmp_path: Path, data: object, message: str):
    with pytest.raises(RtposeError, match=message):
        read_coco(write(tmp_path / "a.json", data), BODY21)


def test_numbers_may_be_text_null_or_missing(tmp_path: Path):
    people = [
        {"keypoints": ["1.5", "2", "2", None, None, 0], "bbox": ["10", "20", "30.5", "40"]},
        {"keypoints": [1, 2, 2, None, None, 2]},
        {"keypoints": [1, 2, 2, 3, 4, 2], "bbox": None},
    ]
    data = coco(["nose", "left_eye"], people)  # type: ignore[arg-type]
    data["images"][0] |= {"width": None, "height": 0}  # type: ignore[index]
    del data["annotations"][2]["bbox"]  # type: ignore[index]
    path = write(tmp_path / "a.json", data)
    found = read_coco(path, COCO17)
    assert found.boxes.tolist() == [[10, 20, 40.5, 60], [10, 20, 40, 60]]
    assert found.labelled[:, :2].tolist() == [[True, False]] * 2
    assert found.joints[0, 0].tolist() == [1.5, 2]
    assert found.labelled_size(0) is None
    (picture,) = read_labels(path, tmp_path)
    assert picture.boxes.tolist() == found.boxes.tolist() and picture.size is None


def test_two_pictures_of_one_id_are_refused(tmp_path: Path):
    # two exports put together as they are: the first one's people lay in the second one's pictures
    data = coco(["nose"], [{"keypoints": [1, 2, 2]}])
    data["images"] *= 2  # type: ignore[operator]
    path = write(tmp_path / "a.json", data)
    assert len(read_coco(path, BODY21)) == len(read_labels(path, tmp_path)) == 1
    data["images"][1] = {"id": 7, "file_name": "b.jpg"}  # type: ignore[index]
    for read in (partial(read_coco, skeleton=BODY21), partial(read_labels, pictures=tmp_path)):
        with pytest.raises(RtposeError, match=r"a\.jpg and b\.jpg have the same id 7"):
            read(write(path, data))  # type: ignore[operator]


def test_missing_and_damaged(tmp_path: Path):
    with pytest.raises(RtposeError, match="no such file"):
        read_coco(tmp_path / "gone.json", BODY21)
    cut = tmp_path / "cut.json.gz"
    cut.write_bytes(gzip.compress(b'{"images": []}')[:-9])
    with pytest.raises(RtposeError, match="not readable as json"):
        read_coco(cut, BODY21)


def test_the_shared_people(shared: Path):
    people = read_coco(shared / "people" / "lsp_test.json.gz", BODY21)
    assert count_sources(people) == {"lsp_test": 1000}
    sixteen = people.labelled[:, :16]
    assert sixteen.mean() > 0.99 and not people.labelled[:, 16:].any()


def test_categories_of_tools_that_label(tmp_path: Path):
    names = list(COCO17.joints)
    categories = [
        {"id": 1, "name": "ball", "keypoints": []},
        {"id": 2, "name": "player", "keypoints": names},
        {"id": 3, "name": "goalkeeper", "keypoints": names},
    ]
    annotations = [
        {"image_id": 0, "category_id": n, "bbox": [0, 0, 9, 9], "keypoints": [n, n, 2] * 17}
        for n in (2, 3)
    ]
    annotations.append({"image_id": 0, "category_id": 1, "bbox": [1, 1, 2, 2]})
    path = tmp_path / "train.json"
    images = [{"id": 0, "file_name": "a.jpg"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    write(path, data)
    assert read_coco(path, BODY21).boxes.tolist() == [[0, 0, 9, 9]] * 2
    assert read_labels(path, tmp_path)[0].boxes.tolist() == [[0, 0, 9, 9]] * 2
    # Roboflow's first category, of the whole project, may be called person too
    categories[:] = [{"id": 1, "name": "person"}, {"id": 2, "name": "person", "keypoints": names}]
    write(path, data | {"annotations": annotations[:1]})
    assert read_labels(path, tmp_path)[0].boxes.tolist() == [[0, 0, 9, 9]]
