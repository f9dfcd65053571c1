import numpy as np
import pytest

from rtpose.bench.crowd import SIZE, cut_people, tile
from rtpose.errors import RtposeError
from rtpose.pose import Image

# the two who stand in front of the bus, and a box that is too small to be enlarged
BOXES = np.float32([[223, 405, 345, 862], [48, 398, 246, 905], [100, 100, 120, 150]])


def detector(image: Image):
    return BOXES, np.ones(3, np.float32)


def test_people_are_cut_out_with_their_boxes(bus: Image):
    people = cut_people([bus], detector)
    assert len(people) == 2
    for (picture, box), whole in zip(people, BOXES, strict=False):
        x0, y0, x1, y1 = box.astype(int)
        assert box.min() >= 0 and x1 <= picture.shape[1] and y1 <= picture.shape[0]
        a, b, c, d = whole.astype(int)
        np.testing.assert_array_equal(picture[y0:y1, x0:x1], bus[b:d, a:c])


@pytest.mark.parametrize("count", [1, 5, 20, 33])
def test_everybody_is_in_the_picture_and_nobody_covers_another(bus: Image, count: int):
    picture, boxes = tile(cut_people([bus], detector), count)
    assert picture.shape == (SIZE[1], SIZE[0], 3) and boxes.shape == (count, 4)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= SIZE).all()
    covered = np.zeros(picture.shape[:2], int)
    for x0, y0, x1, y1 in boxes.round().astype(int):
        covered[y0:y1, x0:x1] += 1
        # real people, not the grey between them
        assert picture[y0:y1, x0:x1].std() > 20
    assert covered.max() == 1
    # as large as fits: half of the height of a row and more
    assert (boxes[:, 3] - boxes[:, 1]).min() > 0.5 * SIZE[1] / max(1, round((count * 0.28) ** 0.5))


def test_nobody_to_cut_out(bus: Image):
    def blind(image: Image):
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)

    with pytest.raises(RtposeError, match="finds nobody"):
        cut_people([bus], blind)
