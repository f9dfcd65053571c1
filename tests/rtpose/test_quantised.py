"""Eight bits: near the float network's answers, and only where it is said."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rtpose.checkpoint import Checkpoint
from rtpose.quantised import QuantisedConv2d, convolutions, quantise, watch_peaks


def peaks_of(network, crops: torch.Tensor) -> dict[str, float]:
    with watch_peaks(network) as seen, torch.inference_mode():
        network(crops)
    return {name: float(torch.cat(each).mean()) for name, each in seen.items()}


@given(st.integers(0, 2**16), st.floats(0.1, 100))
def test_a_convolution_is_off_by_its_roundings_alone(seed: int, peak: float):
    torch.manual_seed(seed)
    conv = nn.Conv2d(6, 4, 3, padding=1)
    x = torch.rand(2, 6, 5, 5) * peak
    with torch.inference_mode():
        want, have = conv(x), QuantisedConv2d(conv, peak)(x)
    # half a step of every input times its weight, half a step of every weight times its input
    weight = conv.weight.detach().abs()
    inputs = 6 * 9
    most = inputs * (weight.max() * peak / 255 / 2 + peak * (weight.max() / 127 / 2 + 1e-6))
    assert (want - have).abs().max() <= most * 1.01
    assert (want - have).abs().mean() < 0.02 * want.abs().mean().clamp_min(peak * 0.05)


def test_what_lies_above_the_peak_counts_as_the_peak_and_below_nought_as_nought():
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.tensor([-3.0, 0.0, 1.0, 2.0, 50.0]).view(1, 1, 1, 5)
    with torch.inference_mode():
        have = QuantisedConv2d(conv, 2.0)(x).flatten()
    np.testing.assert_allclose(have, [0, 0, 1, 2, 2], atol=2 / 255)


def test_a_convolution_that_never_gets_anything_is_no_fault():
    conv = nn.Conv2d(2, 2, 1)
    with torch.inference_mode():
        torch.testing.assert_close(
            QuantisedConv2d(conv, 0.0)(torch.zeros(1, 2, 3, 3)), conv(torch.zeros(1, 2, 3, 3))
        )


def test_only_residual_blocks_are_quantised_and_the_network_is_left_alone(tiny: Checkpoint):
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    peaks = peaks_of(tiny.network, crops)
    assert all(value > 0 for value in peaks.values())
    made = quantise(tiny.network, peaks)
    changed = {name for name, module in made.named_modules() if isinstance(module, QuantisedConv2d)}
    assert changed == convolutions(tiny.network).keys() and len(changed) > 20
    assert not any("heads" in name or "merges" in name for name in changed)
    assert not any(isinstance(module, QuantisedConv2d) for module in tiny.network.modules())
    with torch.inference_mode():
        want, have = (net.every_stack(crops)[-1] for net in (tiny.network, made))
    assert not torch.equal(want, have)
    assert (want - have).abs().mean() < 0.1 * want.std()


def test_peaks_are_the_highest_input_of_each_person(tiny: Checkpoint):
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with watch_peaks(tiny.network) as seen, torch.inference_mode():
        tiny.network(crops[:2])
        tiny.network(crops[2:])
    each = seen["stem.3.conv1"]
    assert [len(batch) for batch in each] == [2, 1]
    with torch.inference_mode():
        stem = tiny.network.stem
        x = stem[2](stem[1](stem[0]((crops - tiny.network.mean) / tiny.network.std)))
        x = stem[3].norm1(x).relu()
    torch.testing.assert_close(torch.cat(each), x.flatten(1).amax(dim=1), rtol=1e-4, atol=1e-5)
    assert not any(module._forward_pre_hooks for module in tiny.network.modules())


@pytest.mark.parametrize("missing", ["stem.3.conv1"])
def test_every_peak_is_needed(tiny: Checkpoint, missing: str):
    peaks = dict.fromkeys(convolutions(tiny.network), 1.0)
    del peaks[missing]
    with pytest.raises(KeyError, match=missing):
        quantise(tiny.network, peaks)
