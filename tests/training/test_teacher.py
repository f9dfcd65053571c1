import torch

from rtpose.network import Architecture, DCHourglass
from training.losses import supervised_loss, target_maps
from training.teacher import Teacher, teach


def network(seed: int) -> DCHourglass:
    torch.manual_seed(seed)
    return DCHourglass(Architecture(2, 8, 3, depth=1)).eval()


def test_its_maps_are_probabilities_in_the_students_size():
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    maps, scores = Teacher(network(0), 128, 0.5)(pictures, 16)
    assert maps.shape == (2, 3, 256) and scores.shape == (2, 3)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, 3))
    assert not maps.requires_grad


def test_its_peak_stands_where_the_student_sees_it():
    """Doubling the crop and halving the map must not move a joint by part of a cell."""

    class Spot(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            light = torch.nn.functional.avg_pool2d(pixels[:, :1], 4)
            return light / light.sum(dim=(-1, -2), keepdim=True)

    pictures = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    pictures[:, :, 20:24, 36:40] = 255  # cell 5, 9 of the student's 16 x 16
    maps, _ = Teacher(Spot(), 128, 0.5)(pictures, 16)  # type: ignore[arg-type]
    assert maps[0, 0].argmax() == 5 * 16 + 9
    around = maps.view(16, 16)[4:7, 8:11]
    torch.testing.assert_close(around, around.flip(0, 1))  # as much on either side


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
    made, weighed = teach(targets, weights, absent, maps, scores, 0.25)
    torch.testing.assert_close(made[0, 0], 0.75 * targets[0, 0] + 0.25 * maps[0, 0])
    torch.testing.assert_close(made[0, 1], maps[0, 1])
    torch.testing.assert_close(made[0, 2], targets[0, 2])
    torch.testing.assert_close(weighed, torch.tensor([[1.0, 0.25 * 0.6, 0.2]]))
    torch.testing.assert_close(made.sum(dim=-1), torch.ones(1, 3))


def test_the_best_student_of_a_lone_teacher_is_its_copy():
    maps = torch.softmax(torch.randn(2, 3, 64), dim=-1)
    nobody, absent = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    targets, weights = teach(maps * 0, nobody, absent, maps, torch.ones(2, 3), 0.5)
    copy = maps.log().view(2, 3, 8, 8)
    other = copy + torch.randn_like(copy) * 0.3
    cost = lambda logits: supervised_loss([logits], targets, weights, "cross_entropy")  # noqa: E731
    assert cost(copy) < cost(other)
