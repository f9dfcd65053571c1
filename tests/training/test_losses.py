import pytest
import torch

from rtpose.decode import decode
from training.losses import gaussian_rows, supervised_loss


def target_maps(joints: torch.Tensor, side: int = 32) -> torch.Tensor:
    x, y = gaussian_rows(joints, side, 1 / 32)
    return y[..., :, None] * x[..., None, :]


def test_targets_decode_to_their_joints():
    """The training target and the decoder speak of the same place: no half-cell between them."""
    joints = torch.rand(50, 3, 2, generator=torch.Generator().manual_seed(0)) * 100 + 14
    error = decode(target_maps(joints))[..., :2] - joints
    assert error.abs().max() <= 1.01
    assert error.mean(dim=(0, 1)).abs().max() < 0.15


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_the_right_answer_costs_least(kind: str):
    joints = torch.tensor([[[60.0, 70.0], [20.0, 30.0]]])
    weights = torch.ones(1, 2)
    right = target_maps(joints)
    if kind == "cross_entropy":
        right = right.clamp_min(1e-12).log()
    good = supervised_loss([right], joints, weights, weights < 0, 1 / 32, kind)  # type: ignore[arg-type]
    shifted = supervised_loss([right.roll(1, -1)], joints, weights, weights < 0, 1 / 32, kind)  # type: ignore[arg-type]
    assert good < shifted
    if kind == "mse":
        assert good == 0


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_unlabelled_joints_teach_nothing(kind: str):
    logits = torch.randn(1, 2, 32, 32, requires_grad=True)
    joints, weights = torch.full((1, 2, 2), 60.0), torch.tensor([[1.0, 0.0]])
    supervised_loss([logits], joints, weights, weights < 0, 1 / 32, kind).backward()  # type: ignore[arg-type]
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().max() > 0 and logits.grad[0, 1].abs().max() == 0


def test_stacks_add_up():
    logits = torch.randn(2, 3, 32, 32)
    joints, weights = torch.full((2, 3, 2), 50.0), torch.ones(2, 3)
    one = supervised_loss([logits], joints, weights, weights < 0, 1 / 32, "mse")
    three = supervised_loss([logits] * 3, joints, weights, weights < 0, 1 / 32, "mse")
    torch.testing.assert_close(three, 3 * one)


def test_nobody_labelled_is_no_loss():
    nobody = torch.zeros(1, 2)
    maps = [torch.randn(1, 2, 32, 32)]
    loss = supervised_loss(maps, torch.zeros(1, 2, 2), nobody, nobody > 0, 1 / 32, "mse")
    assert loss == 0


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_an_absent_joint_is_best_said_by_a_flat_map(kind: str):
    logits = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    joints, weights = torch.full((1, 1, 2), 400.0), torch.ones(1, 1)
    cost = lambda maps: supervised_loss([maps], joints, weights, weights > 0, 1 / 32, kind)  # type: ignore[arg-type]  # noqa: E731
    flat = torch.zeros_like(logits)
    peak = flat.clone()
    peak[..., 31, 31] = 8  # where the nearest edge is
    assert cost(flat) < cost(logits) and cost(flat) < cost(peak)
