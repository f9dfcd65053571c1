from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtpose.pose import Pose
from rtpose.smoothing import Smoother

SIZE = 200.0
RATES = pytest.mark.parametrize("fps", [5, 30, 60])


def person(places, score=0.9, *, id=1, size=SIZE):
    """A person of that size with joints at `places` (K, 2)."""
    places = np.asarray(places, np.float32)
    scores = np.broadcast_to(np.float32(score), places.shape[:1])
    box = np.array([0, 0, size, size], np.float32)
    return Pose(box, 0.9, np.concatenate([places, scores[:, None]], axis=1), id)


def run(frames, fps, *, score=0.9, size=SIZE, smoother=None):
    """Smoothed places (T, K, 2) of one person who is at `frames` (T, K, 2)."""
    smoother = smoother or Smoother()
    found = [
        smoother.update((person(places, score, size=size),), i / fps)[0].joints[:, :2]
        for i, places in enumerate(frames)
    ]
    return np.stack(found)


def shaky(fps, seconds=10, joints=4, noise=0.006):
    rng = np.random.default_rng(0)
    return 300 + rng.normal(0, noise * SIZE, (round(seconds * fps), joints, 2))


def moving(fps, seconds=4, joints=4):
    """Limbs that swing once a second."""
    t = np.arange(round(seconds * fps))[:, None] / fps
    angle = 2 * np.pi * (t + np.arange(joints) / joints)
    return 300 + SIZE * np.stack([0.2 * np.sin(angle), 0.1 * np.cos(angle)], axis=-1)


# whole sixteenths: between 1e-35 and 1000, double precision cannot step exactly
coordinates = st.integers(-32000, 32000).map(lambda n: n / 16)
steps_s = st.sampled_from([0.0, 1e-6, 0.004, 1 / 60, 1 / 30, 0.2, 0.5, 3.0, -0.1, -2.0])


def sequences(elements=coordinates):
    """Frames of three joints, with the time that passes before each and the scores."""
    frame = st.tuples(
        steps_s,
        arrays(np.float32, (3, 2), elements=elements),
        arrays(np.float32, 3, elements=st.floats(0, 1, width=32)),
    )
    return st.lists(frame, min_size=1, max_size=12)


@given(sequences())
def test_every_step_lies_between_the_last_place_and_the_given_one(sequence):
    smoother, t, last = Smoother(), 0.0, None
    for step_s, places, scores in sequence:
        t += step_s
        (pose,) = smoother.update((person(places, scores),), t)
        found = pose.joints[:, :2]
        if last is None:
            np.testing.assert_array_equal(found, places)
        else:
            assert (found >= np.minimum(last, places)).all()
            assert (found <= np.maximum(last, places)).all()
        last = found


@given(arrays(np.float32, (3, 2), elements=coordinates), st.lists(steps_s, max_size=12))
def test_who_stays_in_place_stays_in_place(places, steps):
    smoother, t = Smoother(), 0.0
    for step_s in [0.0, *steps]:
        t += step_s
        (pose,) = smoother.update((person(places),), t)
        np.testing.assert_array_equal(pose.joints[:, :2], places)


@given(sequences(), st.sampled_from([0.25, 4.0, 32.0]))
def test_the_scale_of_the_picture_does_not_matter(sequence, scale):
    here, there, t = Smoother(), Smoother(), 0.0
    for step_s, places, scores in sequence:
        t += step_s
        (pose,) = here.update((person(places, scores),), t)
        scaled = person(places * np.float32(scale), scores, size=SIZE * scale)
        (larger,) = there.update((scaled,), t)
        # powers of two scale floats exactly
        np.testing.assert_array_equal(larger.joints[:, :2], pose.joints[:, :2] * np.float32(scale))


anything = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(
    st.lists(
        st.tuples(
            steps_s,
            arrays(np.float32, (3, 3), elements=anything),
            arrays(np.float32, 4, elements=anything),
        ),
        max_size=8,
    )
)
def test_what_is_finite_stays_finite_whatever_comes(sequence):
    smoother, t = Smoother(), 0.0
    for step_s, joints, box in sequence:
        t += step_s
        (pose,) = smoother.update((Pose(box, 0.5, joints, 7),), t)
        assert pose.joints.dtype == np.float32
        finite = np.isfinite(joints[:, :2]).all(1)
        assert np.isfinite(pose.joints[finite, :2]).all()
        np.testing.assert_array_equal(pose.joints[~finite], joints[~finite])
        np.testing.assert_array_equal(pose.joints[:, 2], joints[:, 2])


@pytest.mark.parametrize(("fps", "left"), [(30, 0.5), (60, 0.4)])
def test_jitter_of_a_still_person_is_less_than_half(fps, left):
    frames = shaky(fps)
    assert run(frames, fps)[fps:].std(0).mean() < left * frames[fps:].std(0).mean()


@RATES
def test_a_swinging_limb_trails_by_less_than_a_frame_of_a_camera(fps):
    places = moving(fps)
    # 1.26 body sizes a second at most: 33 ms behind is 8.4 px
    behind = np.linalg.norm(run(places, fps) - places, axis=-1)[fps:]
    assert behind.max() < 1.26 * SIZE / 30


def test_frame_rates_are_filtered_alike():
    """The same motion, seen at 30 and 60 frames a second, is smoothed onto the same path."""
    slow, fast = run(moving(30), 30), run(moving(60), 60)[::2]
    moved = np.linalg.norm(moving(30) - moving(30).mean(0), axis=-1).mean()
    assert np.linalg.norm(slow - fast, axis=-1).mean() < 0.03 * moved


def test_unsure_joints_move_less_readily():
    frames = np.zeros((12, 4, 2))
    frames[6:] = 20.0  # all four step aside at once
    way = run(frames, 30, score=[0.9, 0.6, 0.3, 0.0])[8, :, 0]
    assert (np.diff(way) < 0).all()
    assert way[0] > 19
    assert way[-1] > 0


def test_someone_put_elsewhere_is_there_at_once():
    frames = np.zeros((12, 4, 2))
    frames[6:] = 0.6 * SIZE
    score = [0.9, 0.9, 0.1, 0.1]
    np.testing.assert_array_equal(run(frames, 30, score=score), frames)
    # an unsure joint alone does not pull itself out
    frames[6:, :3] = 0
    assert 0 < run(frames, 30, score=score)[6, 3, 0] < 0.3 * SIZE


def test_after_a_jump_it_is_as_calm_as_before():
    frames = shaky(30)
    jumped = frames.copy()
    jumped[150:] += 5 * SIZE
    np.testing.assert_allclose(
        run(jumped, 30)[180:] - 5 * SIZE, run(frames, 30)[180:], atol=0.002 * SIZE
    )


@pytest.mark.parametrize(("gap_s", "anew"), [(0.4, False), (0.6, True)])
def test_who_was_away_for_long_starts_anew(gap_s, anew):
    smoother = Smoother()
    for i in range(10):
        smoother.update((person(np.zeros((2, 2)), 0.1),), i / 30)
    smoother.update((), 9 / 30 + gap_s / 2)
    (pose,) = smoother.update((person(np.full((2, 2), 10.0), 0.1),), 9 / 30 + gap_s)
    assert (pose.joints[:, 0] == 10).all() == anew


def test_a_stream_that_starts_anew_starts_smoothing_anew():
    smoother = Smoother()
    smoother.update((person(np.zeros((2, 2))),), 100.0)
    (pose,) = smoother.update((person(np.ones((2, 2))),), 99.9)
    np.testing.assert_array_equal(pose.joints[:, :2], 0)
    (pose,) = smoother.update((person(np.ones((2, 2))),), 0.0)
    np.testing.assert_array_equal(pose.joints[:, :2], 1)


def test_people_are_told_apart_by_their_ids_and_not_by_their_order():
    rng = np.random.default_rng(0)
    together, alone = Smoother(), {i: Smoother() for i in (1, 2, 3)}
    for k in range(30):
        people = [person(rng.normal(100 * i, 1, (5, 2)), id=i) for i in (1, 2, 3)]
        order = rng.permutation(3)
        found = together.update([people[i] for i in order], k / 30)
        for pose in found:
            assert pose.id is not None
            (expected,) = alone[pose.id].update((people[pose.id - 1],), k / 30)
            np.testing.assert_array_equal(pose.joints, expected.joints)
        assert [pose.id for pose in found] == [i + 1 for i in order]


def test_people_without_an_id_and_all_else_pass_as_they_are():
    smoother = Smoother()
    nobody = replace(person(np.zeros((2, 2))), id=None)
    for k in range(3):
        somebody = person(np.full((2, 2), 5.0 * k))
        given_joints = somebody.joints.copy()
        found = smoother.update((nobody, somebody), k / 30)
        assert found[0] is nobody
        assert found[1].box is somebody.box
        assert (found[1].score, found[1].id) == (somebody.score, somebody.id)
        np.testing.assert_array_equal(somebody.joints, given_joints)
    assert smoother.update((), 1.0) == ()


def test_memory_does_not_grow():
    smoother = Smoother()
    for k in range(300):
        smoother.update((person(np.zeros((2, 2)), id=k),), k / 30)
    # half a second of people, and the rounding of a frame
    assert len(smoother._people) <= 16


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        Smoother().update((), np.nan)
    for wrong in ({"min_cutoff_hz": 0.0}, {"beta": -1.0}, {"beta": np.inf}):
        with pytest.raises(ValueError, match="positive"):
            Smoother(**wrong)
