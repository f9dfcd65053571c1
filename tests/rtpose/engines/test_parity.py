import json

import torch

from rtpose.engines.parity import Parity, check, compare, real_crops


def peaks(x: int, y: int = 20, height: float = 20.0) -> torch.Tensor:
    """Heatmaps (2, 3, 64, 64) that are sure of one place, with a shoulder to its right."""
    logits = torch.zeros(2, 3, 64, 64)
    logits[:, :, y, x] = height
    logits[:, :, y, x + 1] = height - 2
    return logits.flatten(2).softmax(-1).view_as(logits)


def test_the_same_answers_hold():
    found = compare(peaks(30), peaks(30))
    assert found == Parity(6, 0.0, 0.0, 1.0, finite=True)
    assert found.holds


def test_one_cell_off_does_not():
    found = compare(peaks(30), peaks(31))
    assert (found.joints, found.apart_px, found.farthest_px, found.same) == (6, 4.0, 4.0, 0.0)
    assert not found.holds


def test_a_few_joints_in_the_neighbouring_cell_may_be():
    heatmaps = peaks(30)
    heatmaps[0, 0] = peaks(31)[0, 0]
    reference = peaks(30)
    assert not compare(reference, heatmaps).holds  # 4 / 6 of a pixel
    many = compare(torch.cat([reference] * 2), torch.cat([heatmaps, reference]))
    assert many.holds and many.farthest_px == 4 and abs(many.apart_px - 4 / 12) < 1e-6


def test_a_joint_with_two_peaks_does_not_refuse_an_engine_but_many_do():
    reference = torch.cat([peaks(30)] * 10)  # 60 joints
    few, many = reference.clone(), reference.clone()
    few[:3, 0] = peaks(5)[0, 0]
    many[:4, 0] = peaks(5)[0, 0]
    found = compare(reference, few)
    assert found.holds and found.apart_px == 0 and found.farthest_px == 100
    assert not compare(reference, many).holds  # 100 / 57 of a pixel


def test_nan_never_holds():
    heatmaps = peaks(30)
    heatmaps[1, 2, 0, 0] = float("nan")
    found = compare(peaks(30), heatmaps)
    assert not found.finite and not found.holds
    assert "not finite" in str(found)


def test_only_the_surer_half_is_compared():
    reference = torch.cat([peaks(30), peaks(30, height=3.0)])
    heatmaps = torch.cat([peaks(30), peaks(5, height=3.0)])
    assert compare(reference, heatmaps) == Parity(6, 0.0, 0.0, 1.0, finite=True)


def test_a_network_that_is_sure_of_nothing_can_be_compared():
    """One trained with another loss may have hardly any peaks; its answers still are answers."""
    assert compare(peaks(30, height=0.1), peaks(30, height=0.1)).holds
    assert not compare(peaks(30, height=0.1), peaks(50, height=0.1)).holds


def test_the_record_can_be_read_back():
    found = compare(peaks(30), peaks(31))
    assert Parity(**json.loads(json.dumps(vars(found)))) == found


def test_crops_show_people_and_their_mirror_images():
    crops = real_crops(64)
    assert crops.shape == (10, 3, 64, 64) and crops.dtype == torch.uint8
    assert torch.equal(crops[5:], crops[:5].flip(-1))
    assert crops.float().std(dim=(1, 2, 3)).min() > 20


def test_check_asks_both_the_same():
    asked = []

    def engine(crops: torch.Tensor) -> torch.Tensor:
        asked.append(crops)
        return peaks(30)

    assert check(engine, engine, 256).holds
    assert torch.equal(asked[0], asked[1]) and asked[0].shape == (10, 3, 256, 256)
