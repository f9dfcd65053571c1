import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from rtpose.decode import cell_to_pixel, decode, parabola, quarter, unrefined
from rtpose.geometry import crop_squares, to_crops, to_frame

CELLS = 48
SIGMA = 1.5


def gaussian(x: float, y: float, sigma: float = SIGMA) -> torch.Tensor:
    """(1, 1, CELLS, CELLS) heatmap, sum 1, around a place in crop pixels."""
    line = torch.arange(CELLS, dtype=torch.float64)
    gx = torch.exp(-0.5 * ((line - ((x + 0.5) / 4 - 0.5)) / sigma) ** 2)
    gy = torch.exp(-0.5 * ((line - ((y + 0.5) / 4 - 0.5)) / sigma) ** 2)
    heatmap = gy[:, None] * gx[None, :]
    return (heatmap / heatmap.sum()).float()[None, None]


inside = st.floats(8, 4 * CELLS - 9)


@given(inside, inside, st.floats(0.8, 3))
def test_a_gaussian_is_found_exactly(x: float, y: float, sigma: float):
    """A cell is 4 pixels; of a Gaussian, as training asks for, the top is known between them."""
    joint = decode(gaussian(x, y, sigma))[0, 0]
    assert abs(joint[0] - x) <= 0.05
    assert abs(joint[1] - y) <= 0.05


@given(inside, inside)
def test_with_the_quarter_shift_the_error_is_a_pixel_at_most(x: float, y: float):
    joint = decode(gaussian(x, y), quarter)[0, 0]
    assert abs(joint[0] - x) <= 1 + 1e-3
    assert abs(joint[1] - y) <= 1 + 1e-3


@given(st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5))
def test_refinements_stay_near_the_highest_cell(line: list[float]):
    """Whatever the map looks like."""
    line[2] = max(line)
    for refine, most in ((parabola, 1.0), (quarter, 0.25), (unrefined, 0.0)):
        assert abs(refine(torch.tensor(line))) <= most


def test_noise_moves_a_joint_little():
    """A bfloat16 network's logits are off by 0.04 from cell to cell: 0.03 cells then, not more."""
    random = torch.Generator().manual_seed(0)
    cells = torch.arange(5.0) - 2
    logits = -0.5 * (cells / SIGMA) ** 2 + 0.04 * torch.randn(1000, 5, generator=random)
    assert parabola(logits.exp()).square().mean().sqrt() < 0.035


def test_the_way_through_crop_and_back_is_exact():
    """A whole mapping in the wrong convention costs points: place, cut, decode, carry back."""
    random = np.random.default_rng(0)
    box = np.array([[101.3, 55.7, 214.9, 300.2]], np.float32)
    squares = crop_squares(box)
    scale = squares[0, 2] / (4 * CELLS)
    truth = random.uniform((110, 80), (210, 280), size=(400, 2))
    in_crop = to_crops(truth[None], squares, 4 * CELLS)[0]
    heatmaps = torch.cat([gaussian(x, y) for x, y in in_crop], dim=1)
    joints = decode(heatmaps)[..., :2].numpy()
    error = (to_frame(joints, squares, 4 * CELLS)[0] - truth) / scale
    assert np.abs(error).max() < 0.05


def test_the_higher_neighbour_decides_the_shift():
    heatmap = torch.zeros(1, 1, 8, 8)
    heatmap[0, 0, 3, 4] = 0.6
    heatmap[0, 0, 3, 5] = 0.3
    heatmap[0, 0, 2, 4] = 0.1
    x, y, score = decode(heatmap, quarter)[0, 0].tolist()
    assert (x, y) == (4 * (4.25 + 0.5) - 0.5, 4 * (2.75 + 0.5) - 0.5)
    assert math.isclose(score, 1.0, abs_tol=1e-6)


def test_a_peak_at_the_border_stays_where_it_is():
    heatmap = torch.zeros(1, 2, 8, 8)
    heatmap[0, 0, 0, 0] = heatmap[0, 1, 7, 7] = 1
    joints = decode(heatmap)[0, :, :2]
    assert joints.tolist() == [[1.5, 1.5], [29.5, 29.5]]


def test_score_is_how_sure_the_map_is():
    sure, torn = gaussian(90, 90), (gaussian(30, 90) + gaussian(150, 90)) / 2
    flat = torch.full((1, 1, CELLS, CELLS), 1 / CELLS**2)
    scores = [decode(h)[0, 0, 2].item() for h in (sure, torn, flat)]
    assert scores[0] > 0.65
    assert math.isclose(scores[1], scores[0] / 2, rel_tol=0.05)
    assert scores[2] < 0.02


def test_batched_equals_one_by_one():
    random = torch.Generator().manual_seed(0)
    heatmaps = torch.rand(3, 21, 12, 16, generator=random)
    heatmaps /= heatmaps.sum(dim=(2, 3), keepdim=True)
    together = decode(heatmaps)
    for n in range(3):
        torch.testing.assert_close(decode(heatmaps[n : n + 1])[0], together[n])


def test_nobody():
    assert decode(torch.zeros(0, 21, 12, 12)).shape == (0, 21, 3)


def test_cells_cover_four_pixels():
    assert cell_to_pixel(torch.tensor([0.0, 1.0])).tolist() == [1.5, 5.5]
