import torch
from hypothesis import given
from hypothesis import strategies as st

from rtpose.checkpoint import Checkpoint
from rtpose.heatmaps import HeatmapNetwork, merge_flipped
from rtpose.skeleton import BODY21


def test_without_flip_it_is_the_network(tiny: Checkpoint):
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(HeatmapNetwork(tiny.network)(crops), tiny.network(crops))


def test_a_mirrored_crop_gives_mirrored_heatmaps(tiny: Checkpoint):
    """Averaging with the mirror image makes the network symmetric."""
    network = HeatmapNetwork(tiny.network, tiny.skeleton.flip).eval()
    crops = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        plain, mirrored = network(crops), network(crops.flip(-1))
    order = list(tiny.skeleton.flip)
    torch.testing.assert_close(mirrored[:, order].flip(-1), plain, rtol=1e-4, atol=1e-6)


def test_halved_the_heatmaps_still_are_float32_and_sum_to_one(tiny: Checkpoint):
    import copy

    network = HeatmapNetwork(copy.deepcopy(tiny.network), tiny.skeleton.flip).eval().half()
    assert network.mirror_order is not None and network.mirror_order.dtype == torch.int64
    with torch.inference_mode():
        heatmaps = network(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    assert heatmaps.dtype == torch.float32
    torch.testing.assert_close(heatmaps.sum(dim=(2, 3)), torch.ones(2, 21))


@given(st.integers(0, 47), st.integers(0, 47))
def test_flip_merge_of_a_perfect_mirror_changes_nothing(row: int, column: int):
    """What the network says of the mirrored crop, were it perfect, is the mirrored heatmap."""
    right, left = BODY21.index["right_wrist"], BODY21.index["left_wrist"]
    heatmaps, of_flipped = torch.zeros(2, 1, len(BODY21), 48, 48)
    heatmaps[0, right, row, column] = 1
    of_flipped[0, left, row, 47 - column] = 1
    assert torch.equal(merge_flipped(heatmaps, of_flipped, BODY21.flip), heatmaps)
