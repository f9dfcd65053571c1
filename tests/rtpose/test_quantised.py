"""Eight bits: near the float network's answers, and only where it is said."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rtpose.checkpoint import Checkpoint
from rtpose.network import eight_bit_convolutions
from rtpose.quantised import QuantisedConv2d, Range, quantise, watch_inputs


def ranges_of(network: nn.Module, crops: torch.Tensor) -> dict[str, Range]:
    names = eight_bit_convolutions(network)
    with watch_inputs(network, names) as seen, torch.inference_mode():
        network(crops)
    return {name: tuple(torch.cat(each).mean(dim=0).tolist()) for name, each in seen.items()}


@given(st.integers(0, 2**16), st.floats(0.1, 100), st.just(0.0) | st.floats(-100, 0))
def test_a_convolution_is_off_by_its_roundings_alone(seed: int, high: float, low: float):
    torch.manual_seed(seed)
    conv = nn.Conv2d(6, 4, 3, stride=2, padding=1)
    x = low + torch.rand(2, 6, 5, 5) * (high - low)
    with torch.inference_mode():
        want, have = conv(x), QuantisedConv2d(conv, low, high)(x)
    # half a step of every input times its weight, another half where nought itself had to be
    # rounded to a step, half a step of every weight times its input
    weight = conv.weight.detach().abs()
    largest, step = max(high, -low), (high - low) / 255 / (1 if low else 2)
    most = 6 * 9 * (weight.max() * step + largest * (weight.max() / 127 / 2 + 1e-6))
    assert (want - have).abs().max() <= most * 1.01
    assert (want - have).abs().mean() < 0.02 * want.abs().mean().clamp_min(largest * 0.05)


def test_what_lies_outside_counts_as_the_nearer_end():
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.tensor([-3.0, 0.0, 1.0, 2.0, 50.0]).view(1, 1, 1, 5)
    with torch.inference_mode():
        for low in (0.0, -1.0):
            have = QuantisedConv2d(conv, low, 2.0)(x).flatten()
            np.testing.assert_allclose(have, [low, 0, 1, 2, 2], atol=(2 - low) / 255)


@given(st.floats(0.01, 50), st.floats(-50, 50))
def test_nought_stays_nought(high: float, low: float):
    """Padding and what was cut off is nought: one step beside it would be seen at every edge."""
    conv = nn.Conv2d(1, 1, 1, bias=False)
    with torch.inference_mode():
        assert QuantisedConv2d(conv, min(low, high), high)(torch.zeros(1, 1, 2, 2)).abs().max() == 0


def test_a_convolution_that_never_gets_anything_is_no_fault():
    conv = nn.Conv2d(2, 2, 1)
    with torch.inference_mode():
        torch.testing.assert_close(
            QuantisedConv2d(conv, 0.0, 0.0)(torch.zeros(1, 2, 3, 3)), conv(torch.zeros(1, 2, 3, 3))
        )


def test_gradients_go_through_the_roundings_to_the_weights_of_the_float_network():
    network = nn.Sequential(nn.Conv2d(2, 3, 3))
    made = quantise(network, {"0": (-1.0, 1.0)})
    x = torch.rand(1, 2, 6, 6) * 2 - 1
    with torch.no_grad():
        network[0].weight *= 3
    made[0].fit_steps()
    torch.testing.assert_close(made(x), network(x), atol=0.05, rtol=0.05)
    made(x).sum().backward()
    have = network[0].weight.grad.clone()
    network.zero_grad()
    network(x).sum().backward()
    torch.testing.assert_close(have, network[0].weight.grad, atol=0.1, rtol=0.02)


def test_only_residual_blocks_are_quantised_and_the_network_is_left_alone(tiny: Checkpoint):
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    ranges = ranges_of(tiny.network, crops)
    assert all(low == 0 < high for low, high in ranges.values())
    made = quantise(tiny.network, ranges)
    changed = {name for name, module in made.named_modules() if isinstance(module, QuantisedConv2d)}
    assert changed == set(eight_bit_convolutions(tiny.network)) and len(changed) > 20
    assert not any("heads" in name or "merges" in name for name in changed)
    assert not any(isinstance(module, QuantisedConv2d) for module in tiny.network.modules())
    with torch.inference_mode():
        want, have = (net.every_stack(crops)[-1] for net in (tiny.network, made))
    assert not torch.equal(want, have)
    assert (want - have).abs().mean() < 0.1 * want.std()


def test_what_is_noted_are_the_lowest_and_highest_input_of_each_person(tiny: Checkpoint):
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with watch_inputs(tiny.network, ["stem.3.conv1"]) as seen, torch.inference_mode():
        tiny.network(crops[:2])
        tiny.network(crops[2:])
    each = seen["stem.3.conv1"]
    assert [len(batch) for batch in each] == [2, 1]
    with torch.inference_mode():
        stem = tiny.network.stem
        x = stem[2](stem[1](stem[0]((crops - tiny.network.mean) / tiny.network.std)))
        x = stem[3].norm1(x).relu()
    want = torch.stack(x.flatten(1).aminmax(dim=1), dim=1)
    torch.testing.assert_close(torch.cat(each), want, rtol=1e-4, atol=1e-5)
    assert not any(module._forward_pre_hooks for module in tiny.network.modules())


def test_only_convolutions_can_be_quantised(tiny: Checkpoint):
    for name in ("stem.3.norm1", "stem.3.conv9"):
        with pytest.raises(AttributeError):
            quantise(tiny.network, {name: (0.0, 1.0)})
