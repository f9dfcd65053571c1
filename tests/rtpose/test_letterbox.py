import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpose.letterbox import (
    PAD_VALUE,
    boxes_to_image,
    clip_boxes,
    letterbox_image,
    plan_letterbox,
)

sides = st.integers(1, 4000)
sizes = st.sampled_from([32, 320, 416, 640])
fractions = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=0, max_size=5)


def test_pads_only_to_the_next_stride():
    plan = plan_letterbox(480, 640, 320)
    assert plan.scaled == (240, 320)
    assert plan.size == (256, 320)
    assert plan.offset == (8, 0)


@given(sides, sides, sizes)
def test_picture_fits_into_an_input_of_whole_strides(height, width, size):
    plan = plan_letterbox(height, width, size)
    assert max(plan.size) == size
    assert all(side % 32 == 0 for side in plan.size)
    for scaled, offset, whole in zip(plan.scaled, plan.offset, plan.size, strict=True):
        assert offset >= 0
        assert offset + scaled <= whole < scaled + 32


@given(sides, sides, sizes, fractions)
def test_what_is_a_part_of_the_scaled_picture_is_the_same_part_of_the_picture(
    height, width, size, rows
):
    plan = plan_letterbox(height, width, size)
    (top, left), (h, w) = plan.offset, plan.scaled
    parts = np.array(rows, np.float32).reshape(-1, 4)
    boxes = boxes_to_image(parts * np.float32([w, h] * 2) + np.float32([left, top] * 2), plan)
    # float32 rounds in the input at size * 2**-24; back in the picture that grows by the scale.
    scale = max(1.0, height / h, width / w)
    np.testing.assert_allclose(
        boxes, parts * np.float32([width, height] * 2), atol=1e-3 * scale, rtol=0
    )
    assert boxes.dtype == np.float32


def test_pixels_land_where_boxes_say():
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:200, 250:400] = 255
    plan = plan_letterbox(300, 500, 320)
    bright = letterbox_image(image, plan)[..., 0] > 127 + PAD_VALUE // 2
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    seen = np.float32([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]])
    # a pixel of the input is 1.6 of the picture
    np.testing.assert_allclose(boxes_to_image(seen, plan), [[250, 100, 400, 200]], atol=1.6)


def test_padding_is_grey_and_a_picture_of_the_right_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert (letterbox_image(image, plan_letterbox(64, 96, 96)) == image).all()
    padded = letterbox_image(image[:40], plan_letterbox(40, 96, 96))
    assert padded.shape == (64, 96, 3)
    assert (padded[:12] == PAD_VALUE).all()
    assert (padded[52:] == PAD_VALUE).all()


def test_clips_to_the_picture():
    boxes = np.float32([[-5, 10, 700, 500]])
    np.testing.assert_array_equal(clip_boxes(boxes, 480, 640), [[0, 10, 640, 480]])


@pytest.mark.parametrize("shape", [(0, 10, 320), (10, 0, 320), (10, 10, 100), (10, 10, 0)])
def test_refuses_what_cannot_be(shape):
    with pytest.raises(ValueError):
        plan_letterbox(*shape)
