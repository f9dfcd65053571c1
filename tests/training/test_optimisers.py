from itertools import pairwise

import pytest
import torch

from rtpose.network import Architecture, DCHourglass
from training.config import OptimiserConfig
from training.muon import Muon
from training.optimisers import learning_rate, make_optimisers


def test_cosine():
    optimiser = OptimiserConfig(rate=1.0, warmup_steps=10, final=0.1)
    rates = [learning_rate(optimiser, step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_steps_down():
    optimiser = OptimiserConfig(
        rate=1.0, warmup_steps=2, schedule="steps", drops=(0.5, 0.9), factor=0.1
    )
    rates = [learning_rate(optimiser, step, 10) for step in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_weight_is_moved_once(name: str):
    network = DCHourglass(Architecture(3, 8, 4, depth=1))
    optimisers = make_optimisers(network, OptimiserConfig(name=name))  # type: ignore[arg-type]
    taken = [id(p) for o in optimisers for group in o.param_groups for p in group["params"]]
    assert sorted(taken) == sorted(id(p) for p in network.parameters())
    assert any(isinstance(o, Muon) for o in optimisers) == (name == "muon")
    for group in (g for o in optimisers for g in o.param_groups):
        if any(p.ndim == 1 for p in group["params"]):
            assert group["weight_decay"] == 0


def test_ends_are_not_muons():
    """Its update suits hidden layers; the first and last ones go by AdamW, as its authors say."""
    network = DCHourglass(Architecture(2, 8, 4, depth=1))
    _, muon = make_optimisers(network, OptimiserConfig(name="muon"))
    moved = {id(p) for p in muon.param_groups[0]["params"]}
    assert id(network.stem[0].weight) not in moved
    assert all(id(head.weight) not in moved for head in network.heads)
    assert id(network.merges[0].weight) in moved
    assert all(
        isinstance(p, torch.nn.Parameter) and p.ndim == 4 for p in muon.param_groups[0]["params"]
    )
