import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rtpose.draw import LEFT, PEOPLE, RIGHT, draw_poses, id_colour
from rtpose.pose import Pose
from rtpose.skeleton import BODY21, COCO17, LSP14, MPII16, SKELETONS

# A person facing the camera in a unit square, so the left side is on the right of the picture.
PLACES = {
    "nose": (0.5, 0.1), "eye": (0.03, 0.08), "ear": (0.06, 0.09), "head_top": (0.5, 0.0),
    "upper_neck": (0.5, 0.18), "thorax": (0.5, 0.25), "pelvis": (0.5, 0.5),
    "shoulder": (0.2, 0.25), "elbow": (0.25, 0.4), "wrist": (0.3, 0.55),
    "hip": (0.12, 0.5), "knee": (0.15, 0.75), "ankle": (0.15, 1.0),
}  # fmt: skip


def person(box=(20, 20, 120, 220), identity=1, score=1.0, **scores):
    """A standing person who fills the box, every joint with `score` unless named."""
    x0, y0, x1, y1 = box
    joints = []
    for name in BODY21.joints:
        side, _, part = name.partition("_")
        x, y = PLACES[part if side in ("left", "right") else name]
        x = {"left": 0.5 + x, "right": 0.5 - x}.get(side, x)
        joints.append([x0 + x * (x1 - x0), y0 + y * (y1 - y0), scores.get(name, score)])
    return Pose(np.array(box, np.float32), 0.9, np.array(joints, np.float32), identity)


def drawn(*poses, size=(240, 140), background=128, **options):
    image = np.full((*size, 3), background, np.uint8)
    draw_poses(image, poses, **options)
    return image


def colours_in(image):
    return {tuple(map(int, colour)) for colour in np.unique(image.reshape(-1, 3), axis=0)}


def changed(image, background=128):
    """Rows and columns (x0, y0, x1, y1) that were painted."""
    rows, columns = np.nonzero((image != background).any(2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_it_draws_in_place_and_within_reach_of_the_joints():
    x0, y0, x1, y1 = changed(drawn(person()))
    assert 20 - 6 <= y0 <= 20
    assert 220 <= y1 <= 220 + 6
    assert x0 >= 30 - 6
    assert x1 <= 110 + 10


def test_left_and_right_have_their_own_colours():
    image = drawn(person())
    pixels = {side: (image == colour).all(2).nonzero()[1] for side, colour in
              (("left", LEFT), ("right", RIGHT))}  # fmt: skip
    assert len(pixels["left"]) > 100
    assert len(pixels["right"]) > 100
    assert pixels["left"].min() >= 68
    assert pixels["right"].max() <= 72


def test_joints_carry_the_colour_of_the_id():
    assert id_colour(3) in colours_in(drawn(person(identity=3)))
    assert id_colour(4) not in colours_in(drawn(person(identity=3)))
    assert id_colour(None) in colours_in(drawn(person(identity=None)))


def test_the_id_stands_above_the_head_where_there_are_several():
    one, other = person((20, 60, 120, 220), 1), person((160, 60, 260, 220), 2)
    alone = drawn(one, size=(240, 280))
    both = drawn(one, other, size=(240, 280))
    above = slice(30, 54)
    assert (alone[above] == 128).all()
    assert id_colour(1) in colours_in(both[above, :140])
    assert id_colour(2) in colours_in(both[above, 140:])
    without = drawn(person((20, 60, 120, 220), None), other, size=(240, 280))
    assert (without[above, :140] == 128).all()


@pytest.mark.parametrize("place", [(-60, -40, 40, 120), (220, 0, 320, 160)])
def test_the_id_of_somebody_half_outside_is_in_the_picture(place):
    other = person((100, 60, 160, 220), 2)
    image = drawn(person(place, 1), other, size=(240, 280))
    plain = drawn(person(place, None), other, size=(240, 280))
    x0, y0, x1, y1 = changed(np.abs(image.astype(int) - plain).clip(0, 255), background=0)
    assert y1 - y0 >= 10 and x1 > x0


def test_id_colours_are_fixed_and_unlike_their_neighbours():
    # Written out: the colours must be the same in every run and every version.
    assert [id_colour(i) for i in (0, 1, 9)] == [(60, 60, 255), (80, 230, 80), (60, 60, 255)]
    assert len(set(PEOPLE) | {LEFT, RIGHT}) == len(PEOPLE) + 2
    assert id_colour(10**12) in PEOPLE


def test_unsure_joints_and_their_bones_are_left_out():
    image = drawn(person(left_knee=0.2, left_ankle=0.9, left_hip=0.9), min_score=0.3)
    # Neither thigh nor shin: the only paint on the left below the hip is the ankle's dot.
    leg = image[140:205, 75:]
    assert (leg == 128).all()
    assert (image[140:205, :70] != 128).any()
    assert (drawn(person(score=0.2)) == 128).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_joints_that_are_no_place_are_left_out(bad):
    pose = person()
    pose.joints[BODY21.index["left_knee"], 0] = bad
    expected = drawn(person(left_knee=0.0))
    np.testing.assert_array_equal(drawn(pose), expected)


def test_a_joint_whose_score_is_not_a_number_is_left_out():
    np.testing.assert_array_equal(
        drawn(person(left_knee=np.nan)), drawn(person(left_knee=0.0))
    )  # fmt: skip


def test_lines_grow_with_the_person():
    def painted(size):
        image = drawn(person((10, 10, 10 + size // 2, 10 + size)), size=(size + 40, size))
        return (image != 128).any(2).sum() / size

    assert painted(60) < painted(200) < painted(1000)
    # Slower than the person does: someone five times as tall gets lines about twice as thick.
    assert painted(1000) < 4 * painted(200)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_any_skeleton_can_be_shown(skeleton):
    assert (drawn(person(), skeleton=skeleton) != 128).any()


def test_only_the_joints_of_the_skeleton_are_shown():
    bare = drawn(person(nose=0, left_eye=0, right_eye=0, left_ear=0, right_ear=0))
    np.testing.assert_array_equal(drawn(person(), skeleton=MPII16), bare)


def test_poses_may_come_in_another_convention():
    pose = person()
    coco = Pose(pose.box, pose.score, pose.joints[list(BODY21.view(COCO17))], pose.id)
    np.testing.assert_array_equal(
        drawn(coco, skeleton=COCO17, predicted=COCO17), drawn(pose, skeleton=COCO17)
    )
    with pytest.raises(KeyError, match="upper_neck"):
        drawn(coco, skeleton=LSP14, predicted=COCO17)


def test_nobody_changes_nothing():
    assert (drawn() == 128).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (7, 3), (0, 10), (10, 0)])
def test_tiny_pictures(size):
    drawn(person((0, 0, 50, 100)), person((-40, -40, 400, 400)), size=size)


def test_someone_outside_leaves_the_picture_alone():
    assert (drawn(person((5000, 5000, 5100, 5200))) == 128).all()
    assert (drawn(person((-900, -900, -800, -700))) == 128).all()


def test_mirrored_and_cut_views_are_drawn_in_place_too():
    expected = drawn(person())
    mirrored = np.full((240, 140, 3), 128, np.uint8)[:, ::-1]
    draw_poses(mirrored, [person()])
    np.testing.assert_array_equal(mirrored, expected)
    whole = np.full((300, 200, 3), 128, np.uint8)
    draw_poses(whole[10:250, 20:160], [person()])
    np.testing.assert_array_equal(whole[10:250, 20:160], expected)
    assert (whole[:10] == 128).all()


def test_what_cannot_be_drawn_on_is_refused():
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3))):
        with pytest.raises(ValueError, match="expected a"):
            draw_poses(image, [])
    locked = np.zeros((5, 5, 3), np.uint8)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        draw_poses(locked, [person()])
    with pytest.raises(ValueError, match="expected 17 joints of coco17"):
        drawn(person(), skeleton=COCO17, predicted=COCO17)


floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=50, deadline=None)
@given(
    joints=arrays(np.float32, (21, 3), elements=floats),
    box=arrays(np.float32, 4, elements=floats),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    identity=st.one_of(st.none(), st.integers(0, 10**9)),
)
def test_no_numbers_crash_it(joints, box, size, identity):
    drawn(Pose(box, 0.5, joints, identity), person(identity=2), size=size)
