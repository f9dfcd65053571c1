import pytest
import torch

from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.decode import decode
from rtpose.engines.base import Engine
from rtpose.engines.eager import EagerEngine
from rtpose.engines.select import ENGINES, select_device, select_engine
from rtpose.errors import RtposeError
from rtpose.geometry import cut_crops
from rtpose.pose import Image
from rtpose.shipped import find_weights

FAST = [name for name in ENGINES if name not in ("auto", "eager")]


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return load_checkpoint(find_weights("nano"))


@pytest.fixture(scope="module")
def crops(bus: Image, shipped: Checkpoint) -> torch.Tensor:
    """Three people of the photograph, roughly framed."""
    import numpy as np

    squares = np.array([[0, 380, 560], [120, 390, 520], [420, 380, 540]], np.float32)
    return torch.from_numpy(cut_crops(bus, squares, shipped.input_size))


def make(name: str, checkpoint: Checkpoint) -> Engine:
    return select_engine(name, checkpoint, "cpu").engine


@pytest.mark.parametrize("name", FAST)
def test_answers_are_the_eager_networks(name: str, shipped: Checkpoint, crops: torch.Tensor):
    """Within half a pixel where the network is sure: elsewhere two peaks may be a hair apart."""
    engine = make(name, shipped)
    assert engine.name == name
    engine.warm_up()
    want, have = decode(EagerEngine(shipped)(crops)), decode(engine(crops))
    sure = want[..., 2] > 0.5
    assert sure.sum() >= 10
    apart = (want[..., :2] - have[..., :2]).norm(dim=-1)[sure]
    # a quarter step that goes the other way is 2 pixels; all others must agree exactly
    assert apart.median() == 0
    assert apart.max() <= 4
    torch.testing.assert_close(want[..., 2], have[..., 2], atol=0.1, rtol=0)


@pytest.mark.parametrize("name", ["eager", *FAST])
def test_any_number_of_people(name: str, tiny: Checkpoint):
    engine = make(name, tiny)
    for count in (0, 1, 3, 2):
        crops = torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8)
        heatmaps = engine(crops)
        assert heatmaps.shape == (count, 21, 16, 16)
        torch.testing.assert_close(heatmaps.sum(dim=(2, 3)), torch.ones(count, 21))


@pytest.mark.parametrize("name", ["eager", *FAST])
def test_results_stay_when_the_engine_runs_again(name: str, tiny: Checkpoint):
    engine = make(name, tiny)
    crops = torch.randint(0, 256, (2, 1, 3, 64, 64), dtype=torch.uint8)
    first = engine(crops[0])
    kept = first.clone()
    engine(crops[1])
    assert torch.equal(first, kept)


def test_auto_says_why(tiny: Checkpoint):
    selection = select_engine("auto", tiny, "cpu")
    assert selection.engine.name == "openvino"
    assert selection.reason == "the fastest on a CPU"


def test_unknown_engine_and_device(tiny: Checkpoint):
    with pytest.raises(RtposeError, match="unknown engine 'fast': choose auto, eager"):
        select_engine("fast", tiny, "cpu")
    with pytest.raises(RtposeError, match="openvino runs on cpu, not on cuda"):
        select_engine("openvino", tiny, "cuda")
    with pytest.raises(RtposeError, match="unknown device 'gpu'"):
        select_device("gpu")
    with pytest.raises(RtposeError, match="CUDA GPUs here; use --device cpu"):
        select_device("cuda:99")


def test_auto_device_exists():
    assert select_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
