import pytest
import torch
from torch import Tensor, nn

from rtpose.network import Architecture, Connect, DCHourglass, Residual
from training.centre import centre, watch_sums


def shifted(connect: Connect) -> DCHourglass:
    """A network in whose sums some channels are far from 0, as those of a long training are."""
    torch.manual_seed(0)
    network = DCHourglass(Architecture(3, 8, 5, connect, depth=2))
    for merge in network.merges:
        torch.nn.init.normal_(merge.weight, std=0.1)  # type: ignore[arg-type]
    for block in network.modules():
        if isinstance(block, Residual):
            assert block.conv3.bias is not None
            torch.nn.init.normal_(block.conv3.bias, std=50.0)
    network.train()
    with torch.no_grad():
        for _ in range(200):  # the statistics follow
            network(pixels())
    return network.eval()


def pixels() -> Tensor:
    return torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)


def centre_on(network: DCHourglass, seen: Tensor) -> None:
    with torch.no_grad(), watch_sums(network) as means:
        network(seen)
    centre(network, means)


def sums(network: DCHourglass, seen: Tensor) -> list[Tensor]:
    """What every block gives, in the order of the calls."""
    given: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda block, inputs, output: given.append(output))
        for block in network.modules()
        if isinstance(block, Residual)
    ]
    with torch.no_grad():
        network(seen)
    for hook in hooks:
        hook.remove()
    return given


@pytest.mark.parametrize("connect", ["dense", "chain", "early"])
def test_answers_stay_and_sums_are_centred(connect: Connect):
    network, seen = shifted(connect), pixels()
    before = [logits.detach() for logits in network.every_stack(seen)]
    assert max(float(given.mean(dim=(0, 2, 3)).abs().max()) for given in sums(network, seen)) > 50
    centre_on(network, seen)
    for now, then in zip(network.every_stack(seen), before, strict=True):
        torch.testing.assert_close(now, then, atol=1e-3, rtol=1e-3)
    for given in sums(network, seen):
        assert given.mean(dim=(0, 2, 3)).abs().max() < 1e-3


def test_half_the_bits_answer_more_like_all_of_them():
    network, seen = shifted("dense"), pixels()
    exact = network(seen).detach()

    def error() -> float:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return float((network(seen).float() - exact).abs().mean())

    before = error()
    centre_on(network, seen)
    assert error() < before / 2


def test_a_network_without_offsets_is_left_as_it_is():
    network, seen = shifted("dense"), pixels()
    centre_on(network, seen)
    once = {name: value.clone() for name, value in network.state_dict().items()}
    centre_on(network, seen)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, once[name], atol=1e-3, rtol=1e-3)
    assert not any(isinstance(m, nn.Module) and m._forward_hooks for m in network.modules())
