from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtpose.metrics import (
    auc,
    columns,
    head_box_reference,
    head_segment_reference,
    means,
    pck,
    pck_curve,
    torso_reference,
)
from rtpose.skeleton import BODY21, FLIC11, LSP14, MPII16

MPII = Path(__file__).parents[3] / "shared" / "data" / "mpii"
needs_mpii = pytest.mark.skipif(not MPII.is_dir(), reason=f"MPII's labels are not at {MPII}")

people = st.integers(1, 4)
coordinates = st.floats(-1e4, 1e4)


@st.composite
def cases(draw):
    """Predictions, truth, labels and references of a few people with three joints."""
    n = draw(people)
    return (
        draw(arrays(float, (n, 3, 2), elements=coordinates)),
        draw(arrays(float, (n, 3, 2), elements=coordinates)),
        draw(arrays(bool, (n, 3))),
        draw(arrays(float, n, elements=st.floats(1, 1e3))),
    )


@pytest.fixture(scope="module")
def newell():
    """Newell's released predictions with truth, labels and head boxes of MPII's validation."""
    scipy_io, h5py = pytest.importorskip("scipy.io"), pytest.importorskip("h5py")
    mat = scipy_io.loadmat(MPII / "detections_our_format.mat")
    with h5py.File(MPII / "newell_valid_predictions.h5") as file:
        predicted = file["preds"][:]
    boxes = mat["headboxes_src"].transpose(2, 0, 1).reshape(-1, 4)
    return predicted, mat["pos_gt_src"].transpose(2, 0, 1), mat["jnt_missing"].T == 0, boxes


@needs_mpii
@pytest.mark.parametrize("comparison", ["<=", "<"])
def test_newells_released_predictions_get_their_known_scores(newell, comparison):
    predicted, truth, labelled, boxes = newell
    result = pck(predicted, truth, labelled, head_box_reference(boxes), 0.5, comparison=comparison)
    assert (result.people, result.left_out) == (2958, 0)
    assert columns(result) == pytest.approx(
        {
            "Head": 95.94, "Shoulder": 94.68, "Elbow": 88.53, "Wrist": 83.38,
            "Hip": 87.48, "Knee": 83.09, "Ankle": 79.05,
        },
        abs=0.01,
    )  # fmt: skip
    mean = means(result)
    assert (mean.p14, mean.w14, mean.a16) == pytest.approx((87.56, 88.04, 88.96), abs=0.01)


@needs_mpii
def test_mpiis_head_boxes_are_mostly_a_fixed_share_of_the_head_segment(newell):
    _, truth, labelled, boxes = newell
    segment = head_segment_reference(truth, labelled)
    ratio = segment / head_box_reference(boxes)
    assert (abs(ratio - 1) < 1e-4).mean() > 0.9


def one_person(error, joints=1):
    """A person whose joints are all `error` pixels off."""
    truth = np.zeros((1, joints, 2))
    return truth + np.array([error, 0.0]), truth, np.ones((1, joints), bool)


@pytest.mark.parametrize(("comparison", "correct"), [("<=", 1), ("<", 0)])
def test_the_sign_decides_an_error_equal_to_the_threshold(comparison, correct):
    assert pck(*one_person(5.0), [10.0], 0.5, comparison=comparison).correct[0] == correct


def test_people_without_a_reference_are_left_out_and_counted():
    predicted, truth, labelled = (np.repeat(a, 4, 0) for a in one_person(1.0))
    result = pck(predicted, truth, labelled, [10.0, np.nan, 0.0, np.inf], 0.5)
    assert (result.people, result.left_out, result.counted[0]) == (1, 3, 1)


def test_a_joint_that_was_not_found_is_wrong():
    assert pck(*one_person(np.nan), [10.0], 1e9).rates[0] == 0
    assert pck(*one_person(np.inf), [10.0], 1e9).rates[0] == 0


def test_a_joint_nobody_has_has_no_rate_and_spoils_no_mean():
    predicted, truth, labelled = one_person(0.0, 16)
    labelled[0, MPII16.index["left_knee"]] = False
    truth[0, MPII16.index["left_knee"]] = np.nan
    result = pck(predicted, truth, labelled, [10.0], 0.5)
    assert np.isnan(result.rates[MPII16.index["left_knee"]])
    assert columns(result)["Knee"] == 100
    mean = means(result)
    assert (mean.p14, mean.w14, mean.a16) == (100, 100, 100)


def test_nobody_at_all_gives_nan_not_an_error():
    result = pck(np.zeros((0, 16, 2)), np.zeros((0, 16, 2)), np.zeros((0, 16)), np.zeros(0), 0.5)
    assert np.isnan(list(columns(result).values())).all()
    assert np.isnan(means(result).a16)


def test_the_three_means_differ_as_defined():
    # Two people; the second has only a wrong left wrist and a right pelvis.
    predicted, truth, labelled = (np.repeat(a, 2, 0) for a in one_person(0.0, 16))
    labelled[1] = False
    labelled[1, [MPII16.index["left_wrist"], MPII16.index["pelvis"]]] = True
    predicted[1, MPII16.index["left_wrist"]] = 1e6
    mean = means(pck(predicted, truth, labelled, [10.0, 10.0], 0.5))
    assert mean.p14 == pytest.approx(100 * (13 + 0.5) / 14)
    assert mean.w14 == pytest.approx(100 * 14 / 15)
    assert mean.a16 == pytest.approx(100 * 17 / 18)


def test_columns_pick_the_joints_of_any_skeleton():
    for skeleton in (MPII16, LSP14, BODY21, FLIC11):
        predicted, truth, labelled = one_person(0.0, len(skeleton))
        predicted[0, skeleton.index["left_wrist"]] = 1e6
        found = columns(pck(predicted, truth, labelled, [10.0], 0.2), skeleton)
        assert found.pop("Wrist") == 50
        assert set(found.values()) == {100}
        assert ("Head" in found) == (skeleton is not FLIC11)


def test_torso_is_a_diagonal_and_unknown_without_both_ends():
    truth = np.zeros((2, 14, 2))
    truth[:, LSP14.index["left_hip"]] = [3, 4]
    truth[:, LSP14.index["right_hip"]] = [6, 8]
    labelled = np.ones((2, 14), bool)
    labelled[1, LSP14.index["left_hip"]] = False
    np.testing.assert_array_equal(torso_reference(truth, labelled, LSP14), [5, np.nan])
    other = torso_reference(truth, labelled, LSP14, ends=("left_shoulder", "right_hip"))
    np.testing.assert_array_equal(other, [10, 10])


def test_head_references():
    assert head_box_reference([[10, 20, 40, 60]])[0] == pytest.approx(30)
    truth = np.zeros((1, 14, 2))
    truth[0, LSP14.index["head_top"]] = [0, 12]
    assert head_segment_reference(truth, np.ones((1, 14)), LSP14)[0] == 9


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 3), (2, 3, 3), (2, 3), (2,)),
        ((2, 3, 2), (2, 4, 2), (2, 3), (2,)),
        ((2, 3, 2), (2, 3, 2), (2, 4), (2,)),
        ((2, 3, 2), (2, 3, 2), (2, 3), (3,)),
        ((3, 2), (3, 2), (3,), ()),
    ],
)
def test_shapes_that_do_not_agree_are_refused(shapes):
    with pytest.raises(ValueError, match="expected predicted"):
        pck(*(np.ones(shape) for shape in shapes), 0.5)


def test_other_mistakes_are_refused():
    predicted, truth, labelled = one_person(0.0, 14)
    with pytest.raises(ValueError, match="has 14 joints, mpii16 has 16"):
        columns(pck(predicted, truth, labelled, [1.0], 0.5))
    with pytest.raises(ValueError, match="for mpii16"):
        torso_reference(truth, labelled)
    with pytest.raises(ValueError, match="not finite"):
        pck(predicted, truth + np.nan, labelled, [1.0], 0.5)
    for thresholds in ([0.1], [0.2, 0.1], [0.1, 0.1]):
        with pytest.raises(ValueError, match="rising"):
            auc(thresholds, [1.0] * len(thresholds))


@given(cases(), st.floats(0.01, 10))
def test_agrees_with_the_formula_written_out(case, threshold):
    predicted, truth, labelled, reference = case
    result = pck(*case, threshold)
    for k in range(3):
        near = [
            np.hypot(*(predicted[n, k] - truth[n, k])) / reference[n] <= threshold
            for n in range(len(truth))
            if labelled[n, k]
        ]
        assert (result.correct[k], result.counted[k]) == (sum(near), len(near))


@given(cases(), st.floats(0.01, 100), st.randoms(use_true_random=False))
def test_neither_the_order_of_people_nor_what_is_unlabelled_matters(case, threshold, random):
    predicted, truth, labelled, reference = case
    before = pck(*case, threshold)
    order = random.sample(range(len(truth)), len(truth))
    truth[~labelled] = np.nan
    predicted[~labelled] = 7.0
    after = pck(
        predicted[order], truth[order], labelled[order], reference[order], threshold
    )  # fmt: skip
    np.testing.assert_array_equal(before.correct, after.correct)
    np.testing.assert_array_equal(before.counted, after.counted)


@given(cases())
def test_a_curve_rises_and_agrees_with_single_points(case):
    thresholds = np.linspace(0, 5, 11)
    curve = pck_curve(*case, thresholds)
    correct = np.stack([point.correct for point in curve])
    assert (np.diff(correct, axis=0) >= 0).all()
    np.testing.assert_array_equal(correct[4], pck(*case, thresholds[4]).correct)


def test_the_area_under_a_curve():
    assert auc([0, 0.5], [100, 100]) == 100
    assert auc([0, 0.5], [0, 100]) == 50
    assert auc([0, 0.1, 0.5], [0, 100, 100]) == pytest.approx(90)
