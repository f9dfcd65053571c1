import pytest
import torch
from torch import nn

from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass
from training.grow import grow


def trained(stacks: int = 3, channels: int = 8, connect: str = "dense") -> DCHourglass:
    """A network none of whose weights and statistics is at its start."""
    torch.manual_seed(1)
    network = DCHourglass(Architecture(stacks, channels, 5, connect, depth=2))  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)  # type: ignore[arg-type]
    for merge in network.merges:
        nn.init.normal_(merge.weight, std=0.1)  # type: ignore[arg-type]
    return network.eval()


PIXELS = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("connect", "stacks", "channels"),
    [("dense", 3, 16), ("dense", 5, 8), ("dense", 4, 12), ("chain", 4, 20), ("early", 3, 16)],
)
def test_answers_stay(connect: str, stacks: int, channels: int):
    network = trained(connect=connect)
    grown = grow(network, stacks, channels)
    assert grown.architecture == Architecture(stacks, channels, 5, connect, 2)  # type: ignore[arg-type]
    before = network.every_stack(PIXELS.float())
    after = grown.every_stack(PIXELS.float())
    for s, logits in enumerate(after):
        torch.testing.assert_close(logits, before[min(s, 2)], rtol=1e-3, atol=1e-4)


def test_copies_are_asked_for_different_things():
    """With equal gradients they would stay copies for ever, and Muon would keep them so."""
    grown = grow(trained(), 3, 16).train()
    grown(PIXELS.float())[:, 0, 0, 0].sum().backward()
    gradient = grown.hourglasses[0].branch.conv1.weight.grad  # type: ignore[union-attr]
    one, other = gradient.chunk(2)  # type: ignore[union-attr, operator]
    assert (one - other).norm() > 0.1 * one.norm()


def test_the_old_network_is_left_alone():
    network = trained()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    grow(network, 4, 16)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(("stacks", "channels"), [(2, 8), (3, 6)])
def test_nothing_shrinks(stacks: int, channels: int):
    with pytest.raises(RtposeError, match="as many or more"):
        grow(trained(), stacks, channels)


def test_early_links_would_move():
    with pytest.raises(RtposeError, match="early"):
        grow(trained(4, connect="early"), 8, 8)


def test_an_odd_width_is_no_network():
    with pytest.raises(RtposeError, match="even"):
        grow(trained(), 3, 9)
