import numpy as np
import pytest

from rtpose.pose import Pose
from rtpose.track import SURE, correct, observe, predict, start

PLACE = np.array([[20, 20, 1.0], [30, 60, 1.0], [40, 80, SURE / 2]], np.float32)
BOX = np.array([0, 0, 100, 100], np.float32)
GREY = np.full((1, 3, 3), 50, np.float32)


def seen(colours: np.ndarray | None = GREY, others: tuple[Pose, ...] = ()):
    poses = [Pose(BOX, 0.9, PLACE), *others]
    if colours is not None:
        colours = np.repeat(colours, len(poses), axis=0)
    return observe(poses, colours)[0]


def test_colours_are_the_mean_over_the_time_that_somebody_was_looked_at():
    track = start(seen(), 0.0)  # a tenth of a second
    for frame in range(1, 4):
        t = frame * 0.1
        track = correct(predict(track, t), seen(GREY + 40), t, 0.1)
    np.testing.assert_allclose(track.colours[:2], 50 + 40 * 0.75)
    np.testing.assert_allclose(track.looked, [0.4, 0.4, 0.0], atol=1e-6)


@pytest.mark.parametrize("fps", [5, 50])
def test_clothes_that_change_are_learned_within_seconds(fps):
    track = start(seen(), 0.0)
    for frame in range(1, 20 * fps):
        now = GREY if frame < 10 * fps else GREY + 40
        track = correct(predict(track, frame / fps), seen(now), frame / fps, 1 / fps)
        if frame == 12 * fps:
            assert track.colours[0, 0] == pytest.approx(50 + 40 * (1 - np.exp(-1)), abs=3)
    assert track.colours[0, 0] == pytest.approx(90, abs=1)


def test_nothing_is_learned_where_another_may_stand_in_front():
    other = Pose(np.array([25, 50, 60, 100], np.float32), 0.9, PLACE)
    covered = seen(GREY + 40, (other,))
    assert covered.covered.tolist() == [False, True, False]
    track = correct(predict(start(seen(), 0.0), 1.0), covered, 1.0, 1.0)
    assert track.colours[0, 0] > 80
    assert track.colours[1, 0] == 50


def test_without_colours_nothing_is_known_of_them():
    track = correct(predict(start(seen(None), 0.0), 1.0), seen(None), 1.0, 1.0)
    assert not track.looked.any()


def test_a_track_goes_where_it_was_going():
    track = start(seen(), 0.0)
    for frame in range(1, 30):
        pose = Pose(BOX + 6 * frame, 0.9, PLACE + np.float32([6 * frame, 6 * frame, 0]))
        (now,) = observe([pose], None)
        track = correct(predict(track, frame / 30), now, frame / 30, 1 / 30)
    np.testing.assert_allclose(track.velocity, 180, rtol=0.05)
    np.testing.assert_allclose(predict(track, 1.0).box, BOX + 180, atol=3)
