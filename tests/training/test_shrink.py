from pathlib import Path

import pytest
import torch

from rtpose.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rtpose.network import Architecture, DCHourglass
from rtpose.skeleton import BODY21
from training.shrink import shrink


def grown_large() -> DCHourglass:
    """A network whose numbers before batch norm grew as base's did on a GPU."""
    torch.manual_seed(0)
    network = DCHourglass(Architecture(stacks=2, channels=16, joints=len(BODY21)))
    with torch.no_grad():
        network.features[1][1].weight *= 3000  # type: ignore[index]
        network.hourglasses[0].branch.conv1.weight *= 500  # type: ignore[operator,union-attr]
    network.train()
    for _ in range(60):
        network.every_stack(torch.randint(0, 256, (2, 3, 64, 64)))
    return network.eval()


def test_answers_stay_and_half_precision_holds_them(tmp_path: Path):
    network = grown_large()
    largest = network.features[1][2].running_var.max()  # type: ignore[index,union-attr]
    assert largest > torch.finfo(torch.half).max
    seen = torch.randint(0, 256, (2, 3, 64, 64))
    before = network.every_stack(seen)
    shrink(network)
    for now, then in zip(network.every_stack(seen), before, strict=True):
        torch.testing.assert_close(now, then, rtol=1e-3, atol=1e-3)
    weights = tmp_path / "shrunk.safetensors"
    save_checkpoint(weights, Checkpoint(network, BODY21, 64))
    on_disk = load_checkpoint(weights).network.every_stack(seen)[-1]
    # half precision alone moves the answers of such a network by 0.013
    assert (on_disk - before[-1]).norm() < 0.03 * before[-1].norm()


@pytest.mark.parametrize("variance", [0.5, 4000.0])
def test_what_half_precision_holds_stays_as_it_is(variance: float):
    """Scaled down, weights that training starts from would learn many times as fast."""
    torch.manual_seed(0)
    network = DCHourglass(Architecture(stacks=1, channels=8, joints=3)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            assert norm.running_var is not None
            norm.running_var.fill_(variance)
    shrink(network)
    for name, tensor in network.state_dict().items():
        if not name.endswith("running_var"):
            assert torch.equal(tensor, before[name]), name
