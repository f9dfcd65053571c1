import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from rtpose.bench.accuracy import (
    VARIANTS,
    Scored,
    Variant,
    check_measurable,
    head_pck,
    match_boxes,
    predict,
    predict_found,
    predict_variants,
    score,
    torso_pck,
)
from rtpose.bench.report import score_tables
from rtpose.checkpoint import Checkpoint
from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import People
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.skeleton import BODY21, COCO17, FLIC11


def moved(people: People, by: float) -> Scored:
    """Predictions that lie `by` pixels right of the truth."""
    joints = np.concatenate([people.joints, np.ones((*people.labelled.shape, 1))], axis=-1)
    joints[..., 0] += by
    return Scored(joints.astype(np.float32), people)


@pytest.fixture(scope="module")
def people(drawn_people: Path) -> People:
    return read_coco(drawn_people / "val.json.gz", BODY21)


def test_the_truth_scores_all_and_noise_none(people: People):
    assert torso_pck(moved(people, 0), BODY21).overall == 100
    assert head_pck(moved(people, 0), BODY21).overall == 100
    assert torso_pck(moved(people, 100), BODY21).overall == 0


def test_only_the_named_joints_count(people: People):
    assert torso_pck(moved(people, 0), BODY21).counted.sum() == 12 * len(people)


def test_parts_by_source(people: People):
    scored = moved(replace(people, sources=("a",) * 3 + ("b",) * 5), 0)
    assert len(scored.of_source("a").people) == 3
    np.testing.assert_array_equal(scored.of_source("b").joints, scored.joints[3:])


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


def test_rows_of_a_table(people: People):
    rows = {row.measure: row for row in score(moved(people, 1), BODY21)}
    assert list(rows) == ["PCK@0.2, 12 joints", "PCK@0.2, all joints", "PCKh@0.5"]
    row = rows["PCK@0.2, 12 joints"]
    assert row.people == len(people) and row.without_reference == 0
    assert set(row.columns) == {"Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"}
    assert row.curve[0] == (0.0, 0.0) and row.curve[-1] == (0.2, row.means.a16)
    assert 0 < row.auc < row.means.a16


def test_a_set_with_its_own_head_sizes_is_known_by_them(people: People):
    sized = replace(people, head_sizes=np.full(len(people), 2.5, np.float32))
    # an error equal to half the head size is right for HRNet, wrong for pytorch-pose
    first = score(moved(sized, 1.25), BODY21)[0]
    assert (first.measure, first.means.a16) == ("PCKh@0.5", 100)
    assert score(moved(sized, 1.25), BODY21, "<")[0].means.a16 < 100


def test_skeletons_without_a_head_have_no_pckh(drawn_people: Path):
    for skeleton in (COCO17, FLIC11):
        bare = read_coco(drawn_people / "val.json.gz", skeleton)
        predicted = Scored(np.dstack([bare.joints, np.ones(bare.labelled.shape)]), bare)
        measures = [row.measure for row in score(predicted, skeleton)]
        assert measures == ["PCK@0.2, 12 joints", "PCK@0.2, all joints"]


def test_who_has_no_torso_is_left_out_and_counted(people: People):
    labelled = people.labelled.copy()
    labelled[:3, BODY21.index["left_hip"]] = False
    row = score(moved(replace(people, labelled=labelled), 0), BODY21)[0]
    assert (row.people, row.without_reference) == (len(people) - 3, 3)
    nobody = replace(people, labelled=people.labelled & (np.array(BODY21.joints) == "nose"))
    assert score(moved(nobody, 0), BODY21) == []


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


def test_who_cannot_be_measured_is_said_before_networks_run(people: People):
    check_measurable(people, BODY21)
    arms = np.isin(BODY21.joints, ("left_elbow", "left_wrist"))
    with pytest.raises(RtposeError, match="nobody has both right shoulder and left hip labelled"):
        check_measurable(replace(people, labelled=people.labelled & arms), BODY21)


def test_tables_of_scores_fit_into_a_narrow_terminal(people: People):
    console = Console(width=80, file=io.StringIO())
    for table in score_tables(score(moved(people, 0), BODY21), "a title"):
        console.print(table)
    said = console.file.getvalue()
    assert "…" not in said and "100.00" in said and "PCKh@0.5" in said
    assert {"Head", "Ankle", "P14", "AUC"} <= set(said.split())
