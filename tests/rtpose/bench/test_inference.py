from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rtpose.bench.accuracy import torso_pck
from rtpose.bench.inference import (
    VARIANTS,
    Variant,
    match_boxes,
    predict,
    predict_found,
    predict_variants,
)
from rtpose.checkpoint import Checkpoint
from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import People
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.skeleton import BODY21


@pytest.fixture(scope="module")
def people(drawn_people: Path) -> People:
    return read_coco(drawn_people / "val.json.gz", BODY21)


class Blank:
    name, device, precision, input_size = "blank", "cpu", "fp32", 64

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        return torch.full((len(crops), len(BODY21), 16, 16), 1 / 256)

    def warm_up(self) -> None:
        pass


def test_missing_pictures_are_no_lower_score_but_an_error(people: People, tmp_path: Path):
    with pytest.raises(RtposeError, match=r"8 of 8 pictures are missing, the first is .*val-0"):
        predict(people, tmp_path, Blank(), BODY21)
    for name in people.pictures:
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(RtposeError, match=r"val-0\.png: picture is broken"):
        predict(people, tmp_path, Blank(), BODY21)


def test_another_picture_of_the_same_name_is_an_error(people: People, drawn_people: Path):
    sized = replace(people, sizes=np.full((len(people), 2), 200, np.int32))
    assert len(predict(sized, drawn_people, Blank(), BODY21).joints) == len(people)
    sized = replace(people, sizes=np.full((len(people), 2), (200, 150), np.int32))
    with pytest.raises(RtposeError, match=r"val-0\.png: is 200x200, not as large as its labels"):
        predict(sized, drawn_people, Blank(), BODY21)


def test_variants_are_what_the_estimator_says(people: People, drawn_people: Path, tiny: Checkpoint):
    estimator = Estimator(lambda image: ..., EagerEngine(tiny), BODY21)  # type: ignore[arg-type]
    found = predict_variants(people, drawn_people, estimator)
    assert tuple(found) == VARIANTS
    for flip in (False, True):
        plain = predict(people, drawn_people, EagerEngine(tiny, flip_test=flip), BODY21)
        ours = found[Variant(flip, "parabola")].joints
        np.testing.assert_allclose(ours, plain.joints, atol=1e-3)
        # a quarter of a cell of 4 pixels, in crops of 117 by 64
        middle = found[Variant(flip, "none")].joints
        shift = found[Variant(flip, "quarter shift")].joints - middle
        size = np.unique(np.abs(shift[..., :2]).round(3))
        assert set(size) <= {0.0, np.float32(1.828), np.float32(1.829)} and len(size) > 1
        assert 0 < np.abs(ours - middle)[..., :2].max() < 4 * 1.829 + 1e-3


def test_our_detectors_boxes(people: People, drawn_people: Path, tiny: Checkpoint):
    calls = 0

    def blind_at_first(image):
        nonlocal calls
        calls += 1
        count = int(calls > 2)
        return people.boxes[:count], np.full(count, 0.9, np.float32)

    estimator = Estimator(blind_at_first, EagerEngine(tiny), BODY21)
    scored, missed, found = predict_found(people, drawn_people, estimator)
    assert missed == 2 and len(found.pictures) == 6
    assert np.isnan(scored.joints[:2]).all()
    given = predict(people, drawn_people, estimator.engine, BODY21)
    # the drawn figures all have the same box
    np.testing.assert_allclose(scored.joints[2:], given.joints[2:], atol=1e-3)
    assert torso_pck(scored, BODY21).overall <= 75


def test_boxes_are_matched_by_labels():
    joints = np.float32([[[10, 10], [20, 40]], [[110, 10], [120, 40]], [[300, 300], [310, 310]]])
    labelled = np.ones((3, 2), bool)
    both, left, right = [0, 0, 130, 50], [5, 5, 25, 45], [105, 5, 125, 45]
    np.testing.assert_array_equal(
        match_boxes(joints, labelled, np.float32([both, right, left])), [2, 1, -1]
    )
    # one box for two people is given to one of them
    owners = match_boxes(joints, labelled, np.float32([both]))
    assert sorted(owners.tolist()) == [-1, -1, 0]
    empty = match_boxes(joints, labelled, np.zeros((0, 4), np.float32))
    np.testing.assert_array_equal(empty, [-1] * 3)
