import pytest
import torch

from rtpose.decode import decode
from training.losses import OFFSET_WEIGHT, Loss, gaussian_rows, supervised_loss, target_maps


def gaussians(joints: torch.Tensor, side: int = 32) -> torch.Tensor:
    x, y = gaussian_rows(joints, side, 1 / 32)
    return y[..., :, None] * x[..., None, :]


def test_targets_decode_to_their_joints():
    """The training target and the decoder speak of the same place: no half-cell between them."""
    joints = torch.rand(50, 3, 2, generator=torch.Generator().manual_seed(0)) * 100 + 14
    error = decode(gaussians(joints))[..., :2] - joints
    assert error.abs().max() <= 1.01
    assert error.mean(dim=(0, 1)).abs().max() < 0.15


def test_right_answers_of_squared_error_score_little():
    """Its maps are no logits: their softmax is nearly flat, but highest at the joint."""
    joints = torch.tensor([[[60.0, 70.0], [20.0, 30.0]]])
    absent = torch.zeros(1, 2, dtype=torch.bool)
    maps = target_maps(joints, absent, 64, 1 / 64, "mse")
    found = decode(maps.softmax(dim=-1).view(1, 2, 64, 64))
    assert (found[..., :2] - joints).abs().max() < 4
    assert ((found[..., 2] > 0.005) & (found[..., 2] < 0.05)).all()


def loss_of(
    logits: list[torch.Tensor],
    joints: torch.Tensor,
    weights: torch.Tensor,
    kind: Loss,
    absent: bool = False,
) -> torch.Tensor:
    gone = torch.full(weights.shape, absent)
    targets = target_maps(joints, gone, logits[0].shape[-1], 1 / 32, kind)
    return supervised_loss(logits, targets, weights, kind)


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_the_right_answer_costs_least(kind: Loss):
    joints = torch.tensor([[[60.0, 70.0], [20.0, 30.0]]])
    weights = torch.ones(1, 2)
    right = gaussians(joints)
    if kind == "cross_entropy":
        right = right.clamp_min(1e-12).log()
    good = loss_of([right], joints, weights, kind)
    shifted = loss_of([right.roll(1, -1)], joints, weights, kind)
    assert good < shifted
    if kind == "mse":
        assert good == 0


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_unlabelled_joints_teach_nothing(kind: Loss):
    logits = torch.randn(1, 2, 32, 32, requires_grad=True)
    joints, weights = torch.full((1, 2, 2), 60.0), torch.tensor([[1.0, 0.0]])
    loss_of([logits], joints, weights, kind).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().max() > 0 and logits.grad[0, 1].abs().max() == 0


def test_what_all_cells_have_in_common_is_pulled_to_zero():
    """The softmax does not see it; left alone it drifts out of bfloat16's reach."""
    joints, weights = torch.full((1, 2, 2), 60.0), torch.ones(1, 2)
    logits = torch.randn(1, 2, 32, 32)
    for offset in (-300.0, 300.0):
        common = torch.tensor(offset, requires_grad=True)
        loss = loss_of([logits + common], joints, weights, "cross_entropy")
        loss.backward()
        assert common.grad is not None and common.grad * offset > 0
        near = loss_of([logits], joints, weights, "cross_entropy")
        assert (loss - near).item() == pytest.approx(OFFSET_WEIGHT * 300**2, rel=0.1)


def test_stacks_add_up():
    logits = torch.randn(2, 3, 32, 32)
    joints, weights = torch.full((2, 3, 2), 50.0), torch.ones(2, 3)
    one = loss_of([logits], joints, weights, "mse")
    three = loss_of([logits] * 3, joints, weights, "mse")
    torch.testing.assert_close(three, 3 * one)


def test_nobody_labelled_is_no_loss():
    nobody = torch.zeros(1, 2)
    maps = [torch.randn(1, 2, 32, 32)]
    loss = loss_of(maps, torch.zeros(1, 2, 2), nobody, "mse")
    assert loss == 0


@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_an_absent_joint_is_best_said_by_a_flat_map(kind: Loss):
    logits = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    joints, weights = torch.full((1, 1, 2), 400.0), torch.ones(1, 1)
    cost = lambda maps: loss_of([maps], joints, weights, kind, absent=True)  # noqa: E731
    flat = torch.zeros_like(logits)
    peak = flat.clone()
    peak[..., 31, 31] = 8  # where the nearest edge is
    assert cost(flat) < cost(logits) and cost(flat) < cost(peak)
