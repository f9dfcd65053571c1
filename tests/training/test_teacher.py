from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rtpose.checkpoint import Checkpoint
from rtpose.engines.eager import EagerEngine
from rtpose.network import Architecture, DCHourglass
from rtpose.skeleton import BODY21
from training.losses import supervised_loss, target_maps
from training.teacher import Lesson, Teachers, teach


def engine(size: int) -> EagerEngine:
    torch.manual_seed(0)
    network = DCHourglass(Architecture(2, 8, len(BODY21), depth=1)).eval()
    return EagerEngine(Checkpoint(network, BODY21, size))


@pytest.mark.parametrize("side", [8, 16, 24])
def test_its_maps_are_probabilities_in_the_students_size(side: int):
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    lesson = Teachers([engine(64)], 0.5)([pictures], side)
    assert lesson.maps.shape == (2, 21, side**2) and lesson.scores.shape == (2, 21)
    torch.testing.assert_close(lesson.maps.sum(dim=-1), torch.ones(2, 21))
    assert not lesson.maps.requires_grad


@dataclass
class Spot:
    """An engine that sees a square of cells; the others of its map stay empty."""

    x: int
    y: int
    wide: int = 1
    name = device = precision = "none"
    input_size = 192

    def __call__(self, crops: Tensor) -> Tensor:
        maps = torch.zeros(len(crops), 1, 48, 48)
        maps[:, :, self.y : self.y + self.wide, self.x : self.x + self.wide] = 1 / self.wide**2
        return maps

    def warm_up(self) -> None:
        pass


@pytest.mark.parametrize("side", [16, 24, 32])
@given(x=st.integers(6, 41), y=st.integers(6, 41))
def test_its_peak_stands_where_the_student_sees_it(side: int, x: int, y: int):
    """Fewer cells must not move a joint by more than a fraction of one, wherever it stands."""
    crops = torch.zeros(1, 3, 192, 192, dtype=torch.uint8)
    maps = Teachers([Spot(x, y)], 0.5)([crops], side).maps.view(side, side)
    middles = (torch.arange(side) + 0.5) * 48 / side  # in cells of the teacher
    seen = torch.stack([maps.sum(0) @ middles, maps.sum(1) @ middles])
    assert (seen - torch.tensor([x + 0.5, y + 0.5])).abs().max() < 0.26


def test_several_speak_with_the_mean_of_their_maps():
    crops = torch.zeros(1, 3, 192, 192, dtype=torch.uint8)
    one, other = Spot(8, 8), Spot(30, 20)
    lesson = Teachers([one, other], 0.5)([crops, crops], 24)
    alone = [Teachers([spot], 0.5)([crops], 24) for spot in (one, other)]
    torch.testing.assert_close(lesson.maps, (alone[0].maps + alone[1].maps) / 2)
    torch.testing.assert_close(lesson.maps.sum(), torch.tensor(1.0))
    torch.testing.assert_close(lesson.scores, (alone[0].scores + alone[1].scores) / 2)


def test_halving_the_map_spreads_a_cell_as_much_to_either_side():
    crops = torch.zeros(1, 3, 192, 192, dtype=torch.uint8)
    maps = Teachers([Spot(18, 10, wide=2)], 0.5)([crops], 24).maps  # the student's cell 5, 9
    assert maps[0, 0].argmax() == 5 * 24 + 9
    around = maps.view(24, 24)[4:7, 8:11]
    torch.testing.assert_close(around, around.flip(0, 1))


def test_labels_are_mixed_unknown_joints_are_the_teachers_and_absent_ones_nobodys():
    targets = target_maps(
        torch.full((1, 3, 2), 30.0),
        torch.tensor([[False, False, True]]),
        16,
        1 / 32,
        "cross_entropy",
    )
    weights = torch.tensor([[1.0, 0.0, 0.2]])
    absent = torch.tensor([[False, False, True]])
    maps = torch.softmax(torch.randn(1, 3, 256), dim=-1)
    scores = torch.tensor([[0.9, 0.6, 0.8]])
    made, weighed = teach(targets, weights, absent, Lesson(maps, scores, 0.25))
    torch.testing.assert_close(made[0, 0], 0.75 * targets[0, 0] + 0.25 * maps[0, 0])
    torch.testing.assert_close(made[0, 1], maps[0, 1])
    torch.testing.assert_close(made[0, 2], targets[0, 2])
    torch.testing.assert_close(weighed, torch.tensor([[1.0, 0.25 * 0.6, 0.2]]))
    torch.testing.assert_close(made.sum(dim=-1), torch.ones(1, 3))


def test_the_best_student_of_a_lone_teacher_is_its_copy():
    maps = torch.softmax(torch.randn(2, 3, 64), dim=-1)
    nobody, absent = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    targets, weights = teach(maps * 0, nobody, absent, Lesson(maps, torch.ones(2, 3), 0.5))
    copy = maps.log().view(2, 3, 8, 8)
    other = copy + torch.randn_like(copy) * 0.3
    cost = lambda logits: supervised_loss([logits], targets, weights, "cross_entropy")  # noqa: E731
    assert cost(copy) < cost(other)
