from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtpose.pose import Pose
from rtpose.skeleton import BODY21
from rtpose.tracker import Tracker

HEIGHT = 200.0
RATES = pytest.mark.parametrize("fps", [5, 15, 60])

# Joints of a standing person in heights, from the middle of the hips; sides add their own x.
STANDING = {
    "nose": (0, -0.42), "eye": (0.02, -0.44), "ear": (0.04, -0.43), "head_top": (0, -0.5),
    "upper_neck": (0, -0.35), "thorax": (0, -0.3), "pelvis": (0, 0.0), "shoulder": (0.1, -0.3),
    "elbow": (0.12, -0.15), "wrist": (0.13, 0.0), "hip": (0.06, 0.0), "knee": (0.06, 0.25),
    "ankle": (0.06, 0.5),
}  # fmt: skip
SWING = {"wrist": 0.15, "elbow": 0.07, "knee": 0.1, "ankle": 0.2}


def walker(x, y=300.0, *, phase=0.0, noise=0.0, rng=None, height=HEIGHT, score=0.9):
    """A walking person at (x, y) whose arms and legs swing, facing the camera."""
    joints = np.zeros((21, 3), np.float32)
    for k, name in enumerate(BODY21.joints):
        side, _, part = name.partition("_")
        sign = {"left": 1, "right": -1}.get(side, 0)
        dx, dy = STANDING[part if sign else name]
        dx = sign * (dx + SWING.get(part, 0.0) * np.sin(2 * np.pi * phase))
        joints[k] = x + dx * height, y + dy * height, score
    if rng is not None:
        joints[:, :2] += rng.normal(0, noise * height, (21, 2))
    low, high = joints[:, :2].min(0), joints[:, :2].max(0)
    return Pose(np.array([*(low - 8), *(high + 8)], np.float32), 0.9, joints)


def times(fps, seconds):
    return np.arange(round(seconds * fps) + 1) / fps


def ids(poses):
    return [pose.id for pose in poses]


def test_whoever_is_in_the_first_frame_gets_an_id_at_once():
    assert ids(Tracker().update([walker(100), walker(400)], 0.0)) == [1, 2]
    assert Tracker().update([], 0.0) == ()


@RATES
def test_who_comes_later_gets_an_id_when_seen_again(fps):
    tracker = Tracker()
    tracker.update([walker(100)], 0.0)
    for frame, newcomer in enumerate([None, 2, 2], start=1):
        assert ids(tracker.update([walker(400), walker(100)], frame / fps)) == [newcomer, 1]


@RATES
def test_a_false_alarm_gets_no_number(fps):
    tracker = Tracker()
    tracker.update([walker(100)], 0.0)
    assert ids(tracker.update([walker(100), walker(600)], 1 / fps)) == [1, None]
    for frame in range(2, round(0.6 * fps) + 3):
        assert ids(tracker.update([walker(100)], frame / fps)) == [1]
    for newcomer in (None, 2):
        frame += 1
        assert ids(tracker.update([walker(600), walker(100)], frame / fps)) == [newcomer, 1]


def test_everything_but_the_id_stays():
    pose = walker(100)
    (followed,) = Tracker().update([pose], 0.0)
    assert followed.box is pose.box
    assert followed.joints is pose.joints
    assert followed.score == pose.score
    assert pose.id is None


@RATES
@pytest.mark.parametrize("speed", [0.0, 0.8, 2.0])
def test_one_walking_person_keeps_the_id(fps, speed):
    rng, tracker = np.random.default_rng(0), Tracker()
    for t in times(fps, 4):
        pose = walker(100 + speed * HEIGHT * t, phase=t, noise=0.01, rng=rng)
        assert ids(tracker.update([pose], t)) == [1]


@RATES
@pytest.mark.parametrize("hidden_s", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_two_people_crossing_keep_their_ids(fps, hidden_s, seed):
    """The one in front walks right, the other left, hidden while they pass."""
    rng, tracker = np.random.default_rng(seed), Tracker()
    shift = rng.uniform(0, 1 / fps)
    for t in times(fps, 3):
        moment = t + shift - 1.5
        front = walker(500 + 160 * moment, 300, phase=t, noise=0.01, rng=rng)
        back = walker(500 - 160 * moment, 290, phase=t + 0.3, noise=0.01, rng=rng)
        hidden = abs(moment) < hidden_s / 2
        found = ids(tracker.update([front] if hidden else [front, back], t))
        assert found == [1, 2][: len(found)]


@RATES
def test_five_people_walking_to_and_fro_keep_their_ids(fps):
    rng, tracker = np.random.default_rng(1), Tracker()
    speeds, phases = [0.6, -0.5, 0.2, -0.8, 0.4], rng.uniform(0, 6, 5)
    first = None
    for t in times(fps, 4):
        people = [
            walker(600 + 300 * np.sin(v * t + p), 300 + 30 * k, phase=t + p, noise=0.01, rng=rng)
            for k, (v, p) in enumerate(zip(speeds, phases, strict=True))
        ]
        found = ids(tracker.update(people, t))
        first = first or found
        assert found == first


@RATES
@pytest.mark.parametrize(("gap_s", "same"), [(0.6, True), (0.9, True), (1.3, False)])
def test_short_gaps_are_bridged_and_long_ones_are_not(fps, gap_s, same):
    tracker = Tracker()
    for t in times(fps, 2):
        tracker.update([walker(100 + 100 * t, phase=t)], t)
    for t in 2 + times(fps, gap_s)[1:-1]:
        assert tracker.update([], t) == ()
    t = 2 + gap_s
    assert ids(tracker.update([walker(100 + 100 * t, phase=t)], t)) == [1 if same else None]


@RATES
def test_a_false_alarm_passes_its_number_to_nobody(fps):
    tracker = Tracker()
    assert ids(tracker.update([walker(100)], 0.0)) == [1]
    for t in times(fps, 0.6)[1:]:
        tracker.update([], t)
    assert ids(tracker.update([walker(100)], 0.8)) == [None]
    assert ids(tracker.update([walker(100)], 0.9)) == [2]


def test_rare_frames_still_match():
    tracker = Tracker()
    for t in (0.0, 0.9, 1.8):
        assert ids(tracker.update([walker(100)], t)) == [1]


@pytest.mark.parametrize(("step_s", "known"), [(1.5, 1), (4.0, 1), (6.0, None)])
def test_frames_further_apart_than_a_gap(step_s, known):
    tracker = Tracker()
    tracker.update([], 0.0)
    found = [ids(tracker.update([walker(100)], step_s * n))[0] for n in range(1, 4)]
    assert found == [None, known, known]
    tracker.update([], step_s * 4)
    assert ids(tracker.update([walker(100)], step_s * 5)) == [None]  # not after one without them


def test_a_newcomer_does_not_take_over_a_neighbours_number():
    tracker = Tracker()
    tracker.update([walker(100), walker(600)], 0.0)
    found = tracker.update([walker(350), walker(602), walker(101)], 0.1)
    assert ids(found) == [None, 2, 1]


def test_someone_far_away_is_somebody_else():
    tracker = Tracker()
    tracker.update([walker(100)], 0.0)
    assert ids(tracker.update([walker(700)], 0.1)) == [None]


def test_boxes_alone_are_enough_to_follow():
    tracker = Tracker()
    for t in times(15, 2):
        blind = [replace(walker(x, score=0.0)) for x in (100 + 80 * t, 700)]
        assert ids(tracker.update(blind, t)) == [1, 2]


@RATES
def test_legs_that_come_and_go_do_not_matter(fps):
    tracker, legs = Tracker(), [BODY21.index[j] for j in BODY21.joints if "knee" in j or "ank" in j]
    for i, t in enumerate(times(fps, 2)):
        pose = walker(100 + 100 * t, phase=t)
        if i % 2:
            pose.joints[legs] = np.nan
            pose.box[3] -= 0.5 * HEIGHT
        assert ids(tracker.update([pose], t)) == [1]


def test_size_does_not_matter():
    for height in (20.0, 2000.0):
        tracker = Tracker()
        for t in times(10, 2):
            people = [walker(x * height, phase=t, height=height) for x in (1 + t, 5 - t)]
            assert ids(tracker.update(people, t)) == [1, 2]


def dressed(*colours):
    """The same colour, in L*a*b*, at all joints of each person."""
    return np.repeat(np.array(colours, np.float32)[:, None], 21, axis=1)


RED, BLUE = (50, 60, 40), (40, 20, -60)
DARK_RED, DIM_RED = (42, 52, 34), (48, 52, 34)


def turn_back(fps, front, back, reappears):
    """Ids of two who meet, one hidden for 0.8 s, and walk back; `reappears` of the hidden one."""
    tracker, found = Tracker(), []
    for t in times(fps, 4):
        away = 70 * max(abs(t - 2) - 0.4, 0.0)
        people, worn = [walker(500 - away, phase=t)], [front]
        if away:
            people.append(walker(500 + away, 295, phase=t))
            worn.append(back if t < 2 else reappears)
        found.append(ids(tracker.update(people, t, dressed(*worn))))
    return found


@RATES
def test_who_turns_back_from_behind_somebody_is_known_by_clothes(fps):
    found = turn_back(fps, RED, BLUE, BLUE)
    assert found[0] == found[-1] == [1, 2]
    assert {i for frame in found for i in frame} <= {1, 2, None}
    assert found == turn_back(fps, BLUE, RED, RED)


@RATES
def test_a_little_darker_is_still_the_same(fps):
    assert turn_back(fps, BLUE, RED, DARK_RED)[-1] == [1, 2]


@RATES
def test_who_comes_in_other_clothes_to_where_somebody_was_lost_is_looked_at_and_somebody_else(fps):
    tracker = Tracker()
    other = walker(900)
    for t in times(fps, 3):
        tracker.update([walker(100), other], t, dressed(RED, RED))
    for t in 3 + times(fps, 1.4)[1:-1]:
        tracker.update([other], t, dressed(RED))
    moments = 4.4 + times(fps, 0.8)
    people = [walker(180), other]
    found = [tracker.update(people, t, dressed(BLUE, RED))[0].id for t in moments]
    waited = [t - 4.4 for t, identity in zip(moments, found, strict=True) if identity is None]
    assert found[-1] == 3 and set(found) == {None, 3}
    assert 0.4 - 1 / fps - 1e-6 <= waited[-1] < 0.4


@RATES
@pytest.mark.parametrize("others", [0, 1])
def test_who_comes_from_behind_something_is_looked_at_until_known_alone_or_not(fps, others):
    """At first only half in view, with the colours of what hides the rest."""
    tracker, bystander = Tracker(), [walker(900)] * others
    red = [RED] * others
    for t in times(fps, 3):
        tracker.update([walker(100), *bystander], t, dressed(RED, *red))
    for t in 3 + times(fps, 1.4)[1:-1]:
        tracker.update(bystander, t, dressed(*red) if red else None)
    for t in 4.4 + times(fps, 0.6):
        worn = dressed(BLUE if t < 4.65 else RED, *red)
        found = tracker.update([walker(180), *bystander], t, worn)
    assert found[0].id == 1


@RATES
def test_after_a_cut_who_stands_where_somebody_stood_is_somebody_else(fps):
    """And is not waited for."""
    tracker, people = Tracker(), [walker(100), walker(500)]
    for t in times(fps, 2):
        tracker.update(people, t, dressed(RED, RED))
    cut_s, step_s = 2 + 1 / fps, 1 / fps
    worn = dressed(BLUE, DIM_RED)  # of who is like Red, but not to be taken for one
    assert ids(tracker.update(people, cut_s, worn, cut=True)) == [None, None]
    assert ids(tracker.update(people, cut_s + step_s, worn)) == [3, 4]


@RATES
def test_who_is_dressed_as_before_what_looked_like_a_cut_keeps_the_number(fps):
    tracker, people = Tracker(), [walker(100), walker(500)]
    for n, t in enumerate(times(fps, 2)):
        cut = n in (fps, fps + 1)  # as of a flash
        assert ids(tracker.update(people, t, dressed(RED, BLUE), cut=cut)) == [1, 2]


def test_who_comes_long_after_a_cut_to_nobody_is_waited_for_no_more_than_others():
    tracker = Tracker()
    for t in times(15, 2):
        tracker.update([walker(100)], t, dressed(RED))
    tracker.update([], 2.1, cut=True)
    for t in 2.2 + times(15, 1):
        tracker.update([], t)
    assert ids(tracker.update([walker(100)], 3.3, dressed(BLUE))) == [None]
    assert ids(tracker.update([walker(100)], 3.4, dressed(BLUE))) == [2]


@RATES
def test_clothes_of_one_who_stands_before_another_are_not_learned_as_hers(fps):
    """She is half behind him for two seconds, and all her joints look like his shirt then."""
    tracker = Tracker()
    for t in times(fps, 4):
        behind = 1 < t < 3
        worn = dressed(RED, RED if behind else BLUE)
        tracker.update([walker(500), walker(530 if behind else 630 - 100 * min(t, 1))], t, worn)
    for t in 4 + times(fps, 1)[1:]:
        tracker.update([walker(500)], t, dressed(RED))
    assert ids(tracker.update([walker(500), walker(560)], 5.2, dressed(RED, BLUE))) == [1, 2]


@RATES
@pytest.mark.parametrize(("gap_s", "same"), [(1.5, True), (2.5, False)])
def test_clothes_are_remembered_longer_than_places(fps, gap_s, same):
    tracker = Tracker()
    for t in times(fps, 3):
        tracker.update([walker(100)], t, dressed(RED))
    for t in 3 + times(fps, gap_s)[1:-1]:
        tracker.update([], t)
    assert ids(tracker.update([walker(180)], 3 + gap_s, dressed(RED))) == [1 if same else None]


@pytest.mark.parametrize("fps", [15, 60])
def test_one_look_after_a_gap_is_no_more_than_one_look(fps):
    """Who was missed for 0.9 s looks like something else for a frame."""
    tracker = Tracker()
    for t in times(fps, 3):
        tracker.update([walker(100)], t, dressed(RED))
    for t in 3 + times(fps, 0.9)[1:-1]:
        tracker.update([], t)
    assert ids(tracker.update([walker(100)], 3.9, dressed(BLUE))) == [1]
    for t in 3.9 + times(fps, 1.5)[1:-1]:
        tracker.update([], t)
    assert ids(tracker.update([walker(180)], 5.4, dressed(RED))) == [1]


def test_nobody_is_known_by_clothes_at_the_other_end_of_the_room():
    tracker = Tracker()
    for t in times(15, 3):
        tracker.update([walker(100)], t, dressed(RED))
    assert ids(tracker.update([walker(1200)], 3.2, dressed(RED))) == [None]


def test_a_stream_that_starts_anew_starts_with_new_people():
    tracker = Tracker()
    tracker.update([walker(100)], 100.0)
    assert ids(tracker.update([walker(100)], 99.99)) == [1]
    assert ids(tracker.update([walker(100)], 100.0)) == [1]
    assert ids(tracker.update([walker(100)], 0.0)) == [2]
    assert ids(tracker.update([walker(100)], 0.1)) == [2]


def test_what_is_no_person_gets_no_id():
    good = walker(100)
    nowhere = replace(good, box=np.array([0, 0, np.nan, 5], np.float32))
    flat = replace(good, box=np.array([5, 5, 5, 9], np.float32))
    assert ids(Tracker().update([nowhere, good, flat], 0.0)) == [None, 1, None]


def test_a_time_that_is_none_is_refused():
    with pytest.raises(ValueError, match="finite"):
        Tracker().update([], np.nan)


def test_memory_does_not_grow():
    rng, tracker = np.random.default_rng(0), Tracker()
    for t in times(30, 10):
        tracker.update([walker(x, score=0.5) for x in rng.uniform(0, 1e5, 4)], t)
    # Nobody comes twice, so each is kept for 0.3 s, nine or ten frames.
    assert len(tracker._tracks) <= 44


def scenes():
    """A few frames of a few people anywhere, with times that rise."""
    person = st.builds(
        walker,
        st.floats(0, 800),
        st.floats(0, 600),
        phase=st.floats(0, 1),
        height=st.floats(20, 400),
        score=st.sampled_from([0.0, 0.5, 1.0]),
    )
    # Two people alike in every number have no order of their own.
    people = st.lists(person, max_size=4, unique_by=lambda pose: pose.joints.tobytes())
    frame = st.tuples(st.floats(0, 1.5), people)
    return st.lists(frame, min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(scenes(), st.randoms(use_true_random=False))
def test_ids_are_unique_in_a_frame_and_the_order_of_poses_does_not_matter(scene, random):
    straight, shuffled, again, t = Tracker(), Tracker(), Tracker(), 0.0
    for dt, people in scene:
        t += dt
        order = random.sample(range(len(people)), len(people))
        worn = dressed(*(random.choice([RED, BLUE, DARK_RED]) for _ in people)) if people else None
        found = ids(straight.update(people, t, worn))
        known = [i for i in found if i is not None]
        assert len(set(known)) == len(known)
        others = [people[i] for i in order]
        mixed = ids(shuffled.update(others, t, worn if worn is None else worn[order]))
        assert mixed == [found[i] for i in order]
        assert ids(again.update(people, t, worn)) == found


@settings(max_examples=40, deadline=None)
@given(scenes(), st.floats(0.01, 1000), st.floats(-1e4, 1e4))
def test_neither_the_scale_of_time_zero_nor_the_place_matter(scene, start, shift):
    here, there, t = Tracker(), Tracker(), 0.0
    for dt, people in scene:
        t += round(dt * 1024) / 1024
        moved = []
        for pose in people:
            by = np.float32(round(shift))
            joints = pose.joints.copy()
            joints[:, 0] += by
            moved.append(replace(pose, box=pose.box + np.array([by, 0, by, 0]), joints=joints))
        assert ids(here.update(people, t)) == ids(there.update(moved, t + round(start)))


floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            arrays(np.float32, 4, elements=floats), arrays(np.float32, (3, 3), elements=floats)
        ),
        max_size=3,
    )
)
def test_no_numbers_crash_it(frame):
    tracker, poses = Tracker(), [Pose(box, 0.5, joints) for box, joints in frame]
    for t in (0.0, 0.1, 0.1):
        found = [i for i in ids(tracker.update(poses, t)) if i is not None]
        assert len(set(found)) == len(found)


def test_expected_is_where_the_people_of_the_last_frame_should_be_by_now():
    tracker = Tracker()
    assert tracker.expected(0.0) == {}
    for i in range(30):
        standing = [walker(500.0)] if i < 29 else []
        tracker.update([walker(100.0 + 6 * i), *standing], i / 30)
    expected = tracker.expected(30 / 30)
    assert list(expected) == [1]  # the second is waited for, but was not seen in the last frame
    now = walker(100.0 + 6 * 30)
    np.testing.assert_allclose(expected[1][0], now.joints, atol=1.5)
    np.testing.assert_allclose(expected[1][1], now.box, atol=1.5)
    # an earlier time is taken as the last frame's
    np.testing.assert_allclose(tracker.expected(-5.0)[1][0], tracker.expected(29 / 30)[1][0])
