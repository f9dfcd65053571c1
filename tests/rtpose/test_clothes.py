import cv2
import numpy as np
import pytest

from rtpose.clothes import colours_at_joints
from rtpose.pose import Pose


def person(*places: tuple[float, float]) -> Pose:
    joints = np.array([(x, y, 0.9) for x, y in places], np.float32)
    return Pose(np.array([0, 0, 100, 100], np.float32), 0.9, joints)


def test_colours_are_those_around_each_joint_of_each_person():
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, :100], image[:, 100:200] = (0, 0, 255), (255, 255, 255)
    found = colours_at_joints(image, [person((50, 50), (150, 50)), person((250, 150), (20, 100))])
    red = cv2.cvtColor(np.float32([[[0, 0, 1]]]), cv2.COLOR_BGR2Lab)[0, 0]
    expected = [[red, (100, 0, 0)], [(0, 0, 0), red]]
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_square_and_not_a_pixel_is_looked_at():
    image = np.full((100, 100, 3), 255, np.uint8)
    image[50, 50] = 0
    ((lightness, _, _),) = colours_at_joints(image, [person((50, 50))])[0]
    assert lightness == pytest.approx(100 * 8 / 9, abs=0.1)


@pytest.mark.filterwarnings("error")
def test_what_is_outside_or_nowhere_has_some_colour():
    image = np.full((100, 100, 3), (10, 200, 30), np.uint8)
    lost = person((-500, 20), (20, 1e9), (np.nan, np.inf), (50, 50))
    found = colours_at_joints(image, [lost])
    np.testing.assert_allclose(found, np.broadcast_to(found[0, 3], found.shape), rtol=1e-5)
    assert colours_at_joints(image, []).shape[0] == 0
