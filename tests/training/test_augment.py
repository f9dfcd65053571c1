import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rtpose.geometry import CROP_MARGIN
from rtpose.skeleton import BODY21
from training.augment import augment, warp
from training.config import STILL, AugmentConfig
from training.store import STORE_MARGIN, STORE_SIDE

SIZE = 128
FLIP = torch.tensor(BODY21.flip)


def dots(seed: int, count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Black squares with one white dot, which is where all joints are."""
    random = np.random.default_rng(seed)
    crops = torch.zeros(count, 3, STORE_SIDE, STORE_SIDE, dtype=torch.uint8)
    joints = torch.zeros(count, len(BODY21), 2)
    for i in range(count):
        x, y = random.integers(100, 156, 2)
        crops[i, :, y - 3 : y + 4, x - 3 : x + 4] = 255
        joints[i] = torch.tensor([x, y])
    return crops, joints, torch.ones(count, len(BODY21))


def plain_crops(crops: torch.Tensor, joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the pipeline would cut out: nothing random."""
    theta = torch.zeros(len(crops), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = CROP_MARGIN / STORE_MARGIN
    pictures, moved = warp(crops, joints, theta, SIZE)
    return pictures.round_().clamp_(0, 255).to(torch.uint8), moved


def centres(pictures: torch.Tensor) -> torch.Tensor:
    """Middle of brightness of each picture, (B, 2)."""
    light = pictures[:, 0].double()
    line = torch.arange(light.shape[-1], dtype=torch.float64)
    mass = light.sum(dim=(1, 2))
    return torch.stack(
        [(light.sum(dim=1) * line).sum(1) / mass, (light.sum(dim=2) * line).sum(1) / mass], dim=1
    ).float()


@given(st.integers(0, 10_000))
def test_joints_move_with_the_picture(seed: int):
    """Scale, rotation, shift and flip move a dot and its joint alike, to half a pixel."""
    config = AugmentConfig(colour=0, grey=0, occlusion=0, half_body=0, upside_down=0.5)
    random = torch.Generator().manual_seed(seed)
    pictures, joints, weights, _ = augment(*dots(seed), FLIP, SIZE, config, random)
    inside = weights[:, 0] > 0
    margin = ((joints[:, 0] > 6) & (joints[:, 0] < SIZE - 7)).all(dim=1)
    for i in torch.nonzero(inside & margin).flatten().tolist():
        assert (centres(pictures[i : i + 1])[0] - joints[i, 0]).abs().max() < 0.5


def test_flip_swaps_sides():
    crops, joints, weights = dots(0)
    left, right = BODY21.index["left_wrist"], BODY21.index["right_wrist"]
    joints[:, left] += 20
    weights[:, right] = 0
    config = AugmentConfig(**(STILL.__dict__ | {"flip": 1.0}))
    _, plain, *_ = augment(crops, joints, weights, FLIP, SIZE, STILL, torch.Generator())
    _, moved, kept, _ = augment(crops, joints, weights, FLIP, SIZE, config, torch.Generator())
    torch.testing.assert_close(moved[:, right, 0], SIZE - 1 - plain[:, left, 0])
    torch.testing.assert_close(moved[:, right, 1], plain[:, left, 1])
    assert (kept[:, left] == 0).all() and (kept[:, right] == 1).all()


def test_nothing_random_is_the_plain_crop():
    crops, joints, weights = dots(1)
    still, moved, *_ = augment(crops, joints, weights, FLIP, SIZE, STILL, torch.Generator())
    plain, places = plain_crops(crops, joints)
    assert torch.equal(still, plain)
    torch.testing.assert_close(moved, places)


def test_same_seed_same_batch():
    make = lambda: augment(  # noqa: E731
        *dots(2), FLIP, SIZE, AugmentConfig(), torch.Generator().manual_seed(3)
    )
    for a, b in zip(make(), make(), strict=True):
        assert torch.equal(a, b)


def test_joints_outside_weigh_nothing():
    crops, joints, weights = dots(3)
    joints[:, 4] = STORE_SIDE - 1  # the corner lies beyond the plain crop
    _, _, kept, absent = augment(crops, joints, weights, FLIP, SIZE, STILL, torch.Generator())
    assert (kept[:, 4] == 0).all() and (kept[:, 5] == 1).all()
    assert absent[:, 4].all() and not absent[:, 5].any()
    weights[:, 4] = 0  # nobody said where it was, so nobody knows that it is outside
    *_, absent = augment(crops, joints, weights, FLIP, SIZE, STILL, torch.Generator())
    assert not absent[:, 4].any()


def test_occlusion_and_colour_change_pixels_but_no_joint():
    crops, joints, weights = dots(4)
    config = AugmentConfig(**(STILL.__dict__ | {"occlusion": 1.0, "colour": 0.3}))
    random = torch.Generator().manual_seed(0)
    changed, moved, *_ = augment(crops, joints, weights, FLIP, SIZE, config, random)
    plain, places = plain_crops(crops, joints)
    assert all((changed[i] != plain[i]).any() for i in range(len(changed)))
    torch.testing.assert_close(moved, places)


def test_half_body_zooms_in():
    crops, joints, weights = dots(5)
    joints[:, :, 1] = torch.linspace(60, 200, len(BODY21))
    config = AugmentConfig(**(STILL.__dict__ | {"half_body": 1.0}))
    random = torch.Generator().manual_seed(0)
    _, near, *_ = augment(crops, joints, weights, FLIP, SIZE, config, random)
    _, far, *_ = augment(crops, joints, weights, FLIP, SIZE, STILL, random)
    spread = [p[0, :, 1].max() - p[0, :, 1].min() for p in (near, far)]
    assert spread[0] > 1.3 * spread[1]


def test_identity_keeps_pixels_and_joints():
    crops, joints, _ = dots(6)
    theta = torch.eye(2, 3).repeat(3, 1, 1)
    pictures, moved = warp(crops, joints, theta, STORE_SIDE)
    torch.testing.assert_close(pictures, crops.float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(moved, joints, atol=1e-3, rtol=0)
    assert pytest.approx(1.5) == STORE_MARGIN
