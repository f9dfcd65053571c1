import pytest
import torch

from rtpose.skeleton import BODY21, COCO17, Skeleton
from training.bystanders import add_bystanders, silhouettes

SIZE = 64


def standing(skeleton: Skeleton = BODY21) -> torch.Tensor:
    """Joints (1, K, 2) of somebody upright in the middle, 40 pixels high."""
    heights = {"ankle": 52, "knee": 44, "hip": 35, "pelvis": 35, "thorax": 23, "shoulder": 23,
               "neck": 20, "top": 12, "elbow": 29, "wrist": 35}  # fmt: skip
    joints = []
    for name in skeleton.joints:
        height = next((y for part, y in heights.items() if part in name), 16)
        side = {"left": 4, "right": -4}.get(name.partition("_")[0], 0)
        joints.append([32.0 + side, float(height)])
    return torch.tensor(joints)[None]


def known(skeleton: Skeleton = BODY21) -> torch.Tensor:
    return torch.ones(1, len(skeleton))


@pytest.mark.parametrize("skeleton", [BODY21, COCO17])
def test_a_silhouette_is_the_body(skeleton: Skeleton):
    body = silhouettes(standing(skeleton), known(skeleton), skeleton, SIZE)[0]
    x, y = standing(skeleton)[0].long().T
    assert body[y, x].all()
    assert body[30, 32]  # the belly, where no joint is
    assert not body[:, :20].any() and not body[:, 44:].any()
    assert not body[:5].any() and not body[-5:].any()
    # about a fifth of the square that a person fills
    assert 0.1 < body[12:53, 12:53].float().mean() < 0.35


def test_who_is_hardly_known_has_none():
    weights = torch.zeros(1, len(BODY21))
    weights[0, :4] = 1
    assert not silhouettes(standing(), weights, BODY21, SIZE).any()


def add(places: list[float]) -> torch.Tensor:
    """A white person put into a black picture with a person in its middle."""
    bodies = silhouettes(standing(), known(), BODY21, SIZE)
    others = torch.full((1, 3, SIZE, SIZE), 255, dtype=torch.uint8)
    black = torch.zeros_like(others)
    chances = torch.tensor([places])
    return add_bystanders(black, bodies, others, standing(), known(), BODY21, chances)[0, 0] > 0


@pytest.mark.parametrize(("side", "columns"), [(0.0, slice(None, 32)), (1.0, slice(32, None))])
def test_the_second_person_stands_beside(side: float, columns: slice):
    seen = add([side, 0.0, 0.5, 1.0])
    body = silhouettes(standing(), known(), BODY21, SIZE)[0]
    assert seen[:, columns].sum() > 0.9 * seen.sum() > 0
    # the same body, moved; nothing of it is beyond the edge at this distance
    assert seen.sum() == pytest.approx(body.sum().item(), rel=0.1)


def test_before_or_behind():
    body = silhouettes(standing(), known(), BODY21, SIZE)[0]
    before, behind = (add([1.0, 0.0, 0.5, z]) for z in (1.0, 0.0))
    wide = silhouettes(standing(), known(), BODY21, SIZE)[0].roll(19, 1)
    assert torch.equal(before, wide)
    assert not (behind & body).any()
    assert torch.equal(behind, wide & ~body)


def test_what_leaves_the_picture_does_not_come_back():
    """A body moved past one edge is cut there: a gather must not wrap around."""
    joints = standing() + torch.tensor([20.0, 0.0])
    bodies = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    others = torch.full((1, 3, SIZE, SIZE), 255, dtype=torch.uint8)
    seen = add_bystanders(
        torch.zeros_like(others), bodies, others, joints, known(), BODY21,
        torch.tensor([[1.0, 1.0, 0.5, 1.0]]),
    )  # fmt: skip
    assert not seen[..., :32].any()
