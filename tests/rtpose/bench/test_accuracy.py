import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from rtpose.bench.accuracy import Scored, check_measurable, head_pck, score, torso_pck
from rtpose.bench.report import score_tables
from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
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
