"""Starting from a narrower network."""

import pytest
import torch

from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass
from training.widen import start_from


def trained(increase: int) -> DCHourglass:
    torch.manual_seed(1)
    network = DCHourglass(Architecture(3, 8, 5, depth=2, increase=increase))
    network.train()
    for _ in range(3):  # statistics that are not the first ones
        network(torch.rand(2, 3, 32, 32) * 255)
    return network.eval()


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 4), (2, 2)])
def test_a_wider_network_answers_as_the_one_it_starts_from(before: int, after: int):
    narrow = trained(before)
    torch.manual_seed(2)
    wide = DCHourglass(Architecture(3, 8, 5, depth=2, increase=after)).eval()
    start_from(wide, narrow)
    pictures = torch.rand(2, 3, 32, 32) * 255
    for ours, theirs in zip(wide.every_stack(pictures), narrow.every_stack(pictures), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_every_new_channel_can_be_learned():
    """What old channels read from new ones is nothing yet, but has a slope."""
    torch.manual_seed(2)
    wide = DCHourglass(Architecture(1, 8, 5, depth=1, increase=4))
    start_from(wide, DCHourglass(Architecture(1, 8, 5, depth=1)))
    wide.every_stack(torch.rand(2, 3, 32, 32) * 255)[0].square().sum().backward()
    up = wide.hourglasses[0].up.conv1
    assert up.weight[:4, 8:].abs().max() == 0
    assert up.weight.grad[:4, 8:].abs().max() > 0


@pytest.mark.parametrize(
    "other",
    [{"channels": 10}, {"stacks": 2}, {"connect": "chain"}, {"increase": 6}, {"increase": 4}],
)
def test_another_network_is_refused(other: dict[str, object]):
    base = {"stacks": 3, "channels": 8, "joints": 5, "depth": 2, "increase": 2}
    wide = DCHourglass(Architecture(**base))  # type: ignore[arg-type]
    with pytest.raises(RtposeError, match="the weights to start from are"):
        start_from(wide, DCHourglass(Architecture(**(base | other))))  # type: ignore[arg-type]
