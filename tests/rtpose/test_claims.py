import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtpose.claims import settle_claims, settle_poses
from rtpose.pose import Pose

SIDE = 100.0


def people(*scores_and_x: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Somebody for each score and x, with one joint."""
    joints = np.array([[[x, 50.0, score]] for score, x in scores_and_x], np.float32)
    squares = np.array([[0.0, 0.0, SIDE]] * len(joints), np.float32)
    return joints, squares


some_joints = st.integers(0, 5).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, (n, 3, 2), elements=st.floats(0, 300, width=32)),
        arrays(np.float32, (n, 3, 1), elements=st.floats(0, 1, width=32)),
        arrays(np.float32, (n, 1), elements=st.floats(1, 200, width=32)),
    )
)


@given(some_joints)
def test_places_stay_scores_are_chances_and_never_rise(parts: tuple[np.ndarray, ...]):
    places, scores, sides = parts
    joints = np.concatenate([places, scores], axis=2)
    squares = np.concatenate([np.zeros((len(sides), 2), np.float32), sides], axis=1)
    before = joints.copy()
    settled = settle_claims(joints, squares)
    np.testing.assert_array_equal(joints, before)  # what was given is not changed
    assert settled.dtype == np.float32
    np.testing.assert_array_equal(settled[..., :2], places)
    assert (settled[..., 2] >= 0).all()
    assert (settled[..., 2] <= scores[..., 0]).all()


@given(some_joints, st.randoms())
def test_who_comes_first_does_not_matter(parts: tuple[np.ndarray, ...], random: object):
    places, scores, sides = parts
    joints = np.concatenate([places, scores], axis=2)
    squares = np.concatenate([np.zeros((len(sides), 2), np.float32), sides], axis=1)
    order = list(range(len(joints)))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        settle_claims(joints[order], squares[order]),
        settle_claims(joints, squares)[order],
        rtol=1e-5,
    )


def test_the_surer_claim_stays_and_the_other_falls():
    settled = settle_claims(*people((0.97, 40.0), (0.8, 40.5)))[:, 0, 2]
    np.testing.assert_allclose(settled, [0.914, 0.191], atol=0.01)


def test_equal_claims_share():
    first, second = settle_claims(*people((0.9, 40.0), (0.9, 40.0)))[:, 0, 2]
    # odds of 9 against 1 + 9 / 2
    assert first == second == pytest.approx(9 / 14.5, abs=1e-3)


def test_joints_far_apart_are_left_alone():
    joints, squares = people((0.97, 10.0), (0.8, 60.0))
    np.testing.assert_allclose(settle_claims(joints, squares), joints, rtol=1e-5)


def test_near_is_counted_in_the_smaller_crop():
    """A child before its mother: what is one place to her crop is two to the child's."""
    joints, squares = people((0.9, 40.0), (0.9, 45.0))
    one_size = settle_claims(joints, squares)
    squares[1, 2] = 20.0
    assert (settle_claims(joints, squares)[..., 2] > one_size[..., 2]).all()


def test_certainty_has_no_infinite_odds():
    settled = settle_claims(*people((1.0, 40.0), (1.0, 40.0)))[:, 0, 2]
    assert np.isfinite(settled).all()
    assert settled.min() > 0.6


def test_poses_keep_all_but_their_scores():
    joints, _ = people((0.97, 40.0), (0.8, 40.0))
    box = np.array([0, 0, 90, 90], np.float32)
    poses = tuple(Pose(box, 0.7, j, id=n) for n, j in enumerate(joints, 1))
    sure, unsure = settle_poses(poses)
    assert (sure.id, unsure.id, unsure.score) == (1, 2, 0.7)
    assert unsure.joints[0, 2] < 0.3 < sure.joints[0, 2]
    assert settle_poses(poses[:1]) == poses[:1]
