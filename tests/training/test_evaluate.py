from pathlib import Path

import numpy as np
import pytest
import torch

from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21
from training.evaluate import Scored, head_pck, overall, predict, torso_pck
from training.people import People, read_coco


def moved(people: People, by: float) -> Scored:
    """Predictions that lie `by` pixels right of the truth."""
    joints = np.concatenate([people.joints, np.ones((*people.labelled.shape, 1))], axis=-1)
    joints[..., 0] += by
    return Scored(joints.astype(np.float32), people)


@pytest.fixture(scope="module")
def people(drawn_people: Path) -> People:
    return read_coco(drawn_people / "val.json.gz", BODY21)


def test_the_truth_scores_all_and_noise_none(people: People):
    assert overall(torso_pck(moved(people, 0), BODY21)) == 100
    assert overall(head_pck(moved(people, 0), BODY21)) == 100
    assert overall(torso_pck(moved(people, 100), BODY21)) == 0


def test_only_the_named_joints_count(people: People):
    assert torso_pck(moved(people, 0), BODY21).counted.sum() == 12 * len(people)
    assert torso_pck(moved(people, 0), BODY21, ("nose",)).counted.sum() == len(people)


def test_parts_by_source(people: People):
    two = People(people.pictures, ("a",) * 3 + ("b",) * 5, people.boxes, people.joints,
                 people.labelled, people.teacher)  # fmt: skip
    scored = moved(two, 0)
    assert len(scored.of_source("a").people) == 3
    np.testing.assert_array_equal(scored.of_source("b").joints, scored.joints[3:])


class Blank:
    name, device, precision, input_size = "blank", "cpu", "fp32", 64

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        return torch.full((len(crops), len(BODY21), 16, 16), 1 / 256)

    def warm_up(self) -> None:
        pass


def test_a_missing_picture_is_no_lower_score_but_an_error(people: People, tmp_path: Path):
    with pytest.raises(RtposeError, match=r"val-0\.png: picture is missing or broken"):
        predict(people, tmp_path, Blank(), BODY21)
