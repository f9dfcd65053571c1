"""Every engine that can run here against the eager one; what needs a GPU skips and says why."""

import numpy as np
import pytest
import torch

from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.engines import parity
from rtpose.engines.available import ENGINES, why_not
from rtpose.engines.base import Engine
from rtpose.engines.eager import EagerEngine
from rtpose.engines.select import select_engine
from rtpose.errors import RtposeError
from rtpose.shipped import find_weights, shipped_networks

GPU = "cuda" if torch.cuda.is_available() else "cpu"
DEVICES = {"tensorrt": GPU, "compiled": GPU, "graphs": GPU, "openvino": "cpu", "eager": "cpu"}


def engine_parameters(*names: str) -> list:
    faults = {name: why_not(name, DEVICES[name]) for name in names}
    return [
        pytest.param(name, marks=pytest.mark.skipif(bool(fault), reason=f"{name} {fault}"))
        for name, fault in faults.items()
    ]


ALL = engine_parameters(*ENGINES)
FAST = engine_parameters("tensorrt", "compiled", "graphs", "openvino")


@pytest.fixture(scope="module", params=shipped_networks())
def shipped(request: pytest.FixtureRequest) -> Checkpoint:
    return load_checkpoint(find_weights(request.param))


def make(name: str, checkpoint: Checkpoint, flip_test: bool = False) -> Engine:
    return select_engine(name, checkpoint, DEVICES[name], flip_test).engine


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("name", FAST)
def test_answers_are_the_eager_networks(name: str, flip_test: bool, shipped: Checkpoint):
    engine = make(name, shipped, flip_test)
    assert (engine.name, engine.device) == (name, DEVICES[name])
    engine.warm_up()
    found = parity.check(EagerEngine(shipped, flip_test=flip_test), engine, shipped.input_size)
    assert found.joints >= 100  # of 210
    assert found.holds, found
    assert found.farthest_px <= 8, found


@pytest.mark.parametrize("name", ALL)
def test_any_number_of_people(name: str, tiny: Checkpoint):
    engine = make(name, tiny)
    for count in (0, 1, 3, 40, 2):
        crops = torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8)
        heatmaps = engine(crops)
        assert heatmaps.shape == (count, 21, 16, 16)
        assert heatmaps.dtype == torch.float32
        sums = heatmaps.sum(dim=(2, 3)).cpu()
        torch.testing.assert_close(sums, torch.ones(count, 21), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_the_place_in_a_batch_changes_nothing(name: str, tiny: Checkpoint):
    engine = make(name, tiny)
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    alone = torch.cat([engine(crop[None]) for crop in crops])
    torch.testing.assert_close(engine(crops), alone, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_results_stay_when_the_engine_runs_again(name: str, tiny: Checkpoint):
    engine = make(name, tiny)
    crops = torch.randint(0, 256, (2, 1, 3, 64, 64), dtype=torch.uint8)
    first = engine(crops[0])
    kept = first.clone()
    engine(crops[1])
    assert torch.equal(first, kept)


@pytest.mark.parametrize("name", ALL)
def test_flip_test_is_the_mean_with_the_mirror_image(name: str, tiny: Checkpoint):
    plain, flipping = make(name, tiny), make(name, tiny, flip_test=True)
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    mirrored = plain(crops.flip(-1))[:, list(tiny.skeleton.flip)].flip(-1)
    want = (plain(crops) + mirrored) / 2
    torch.testing.assert_close(flipping(crops), want, rtol=0.02, atol=1e-3)


def test_the_checkpoint_stays_what_it_was(tiny: Checkpoint):
    """Engines that halve the network must not halve everybody's."""
    before = {name: t.clone() for name, t in tiny.network.state_dict().items()}
    for name in ENGINES:
        if why_not(name, DEVICES[name]) is None:
            make(name, tiny)(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    for name, tensor in tiny.network.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor.cpu(), before[name].cpu())


def test_crops_may_be_of_any_memory_layout(tiny: Checkpoint):
    crops = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    turned = crops.permute(0, 3, 1, 2)
    for name in ("eager", "openvino"):
        engine = make(name, tiny)
        torch.testing.assert_close(engine(turned), engine(turned.contiguous()))


def test_the_reference_does_not_round_in_convolutions(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    EagerEngine(tiny)
    assert not torch.backends.cudnn.allow_tf32


def test_unknown_engine(tiny: Checkpoint):
    with pytest.raises(RtposeError, match="unknown engine 'fast': choose auto, tensorrt"):
        select_engine("fast", tiny, "cpu")
