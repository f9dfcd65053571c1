import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpose.geometry import (
    CROP_MARGIN,
    box_iou,
    crop_squares,
    cut_crops,
    to_crops,
    to_frame,
)

coordinate = st.floats(-500, 2500, width=32)
length = st.floats(1, 2000, width=32)


@given(coordinate, coordinate, length, length)
def test_square_holds_its_box_in_the_middle(x: float, y: float, w: float, h: float):
    x0, y0, side = crop_squares(np.array([[x, y, x + w, y + h]], np.float32))[0]
    assert side == pytest.approx(max(w, h) * CROP_MARGIN, rel=1e-3)
    assert x0 + side / 2 == pytest.approx(x + w / 2, abs=0.01)
    assert y0 + side / 2 == pytest.approx(y + h / 2, abs=0.01)


@given(coordinate, coordinate, length, st.sampled_from([64, 192, 256]))
def test_edges_map_to_edges(x: float, y: float, side: float, size: int):
    """The crop's outer edges, half a pixel beyond its outer pixels, are the square's."""
    squares = np.array([[x, y, side]], np.float32)
    edges = np.array([[[-0.5, -0.5], [size - 0.5, size - 0.5]]], np.float32)
    corners = to_frame(edges, squares, size)[0] + 0.5
    np.testing.assert_allclose(corners[0], [x, y], atol=0.02)
    np.testing.assert_allclose(corners[1], [x + side, y + side], atol=0.02)


@given(coordinate, coordinate, length, st.sampled_from([64, 192, 256]))
def test_into_the_crop_and_back(x: float, y: float, side: float, size: int):
    squares = np.array([[x, y, side]], np.float32)
    points = np.array([[[0, 0], [size - 1, size / 3]]], np.float32)
    there = to_frame(points, squares, size)
    # a crop pixel of a small square is less than a float32 tells apart far from the origin
    np.testing.assert_allclose(
        to_crops(there, squares, size), points, atol=1e-3 * size / side + 0.01
    )


def test_no_boxes():
    squares = crop_squares(np.zeros((0, 4), np.float32))
    assert squares.shape == (0, 3)
    assert cut_crops(np.zeros((8, 8, 3), np.uint8), squares, 16).shape == (0, 3, 16, 16)


def test_an_empty_box_still_has_a_square():
    assert crop_squares(np.array([[5, 5, 5, 5]], np.float32))[0, 2] == 1


def test_cutting_at_the_same_scale_copies_pixels_and_swaps_to_rgb():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = cut_crops(image, np.array([[10, 5, 16]], np.float32), 16)[0]
    np.testing.assert_array_equal(crop, image[5:21, 10:26, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("side", [48.0, 64.0, 150.5, 333.3])
def test_a_dot_is_found_where_the_map_says(side: float):
    """Up and down in scale, with and without area shrinking, within half a crop pixel."""
    image = np.zeros((400, 400, 3), np.uint8)
    at = np.array([171.0, 203.0])
    cv2.circle(image, (171, 203), max(2, round(side / 24)), (255, 255, 255), -1)
    square = np.array([[at[0] - 0.55 * side, at[1] - 0.4 * side, side]], np.float32)
    crop = cut_crops(image, square, 64)[0, 0].astype(float)
    ys, xs = np.mgrid[:64, :64]
    found = np.array([[[(crop * xs).sum(), (crop * ys).sum()]]], np.float32) / crop.sum()
    back = to_frame(found, square, 64)[0, 0]
    assert np.abs(back - at).max() < 0.5 * side / 64


def test_outside_the_frame_is_black():
    image = np.full((20, 20, 3), 200, np.uint8)
    crop = cut_crops(image, np.array([[-100, -100, 50]], np.float32), 8)[0]
    assert crop.max() == 0
    half = cut_crops(image, np.array([[-10, 0, 20]], np.float32), 20)[0]
    assert half[:, :, :9].max() == 0 and half[:, :, 11:].min() == 200


@given(st.floats(0, 100), st.floats(0, 100), st.floats(16, 300))
def test_inside_the_frame_nothing_darkens_the_edges(x: float, y: float, side: float):
    """Squares whose last block is not a whole one, too: 32 is the largest block here."""
    image = np.full((432, 432, 3), 200, np.uint8)
    crop = cut_crops(image, np.array([[x, y, side]], np.float32), 16)[0]
    assert (crop == 200).all()


def test_a_square_far_larger_than_the_frame():
    image = np.full((20, 20, 3), 200, np.uint8)
    crop = cut_crops(image, np.array([[-500, -500, 1020]], np.float32), 16)[0]
    assert crop.shape == (3, 16, 16)


def test_shrinking_averages():
    """Fine stripes become grey, not an alias of themselves."""
    image = np.zeros((512, 512, 3), np.uint8)
    image[:, ::2] = 255
    crop = cut_crops(image, np.array([[0, 0, 512]], np.float32), 64)[0]
    assert np.abs(crop[:, 4:-4, 4:-4].astype(int) - 128).max() <= 2


def test_overlap_of_known_boxes():
    first = np.float32([[0, 0, 2, 2], [5, 5, 5, 5]])
    second = np.float32([[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 5, 5]])
    np.testing.assert_allclose(box_iou(first, second), [[1 / 3, 1, 0], [0, 0, 0]], atol=1e-6)
