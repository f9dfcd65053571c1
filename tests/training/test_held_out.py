from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rtpose.datasets.coco import read_coco
from rtpose.skeleton import BODY21
from training import held_out
from training.config import parse
from training.held_out import stack_losses
from training.losses import OFFSET_WEIGHT
from training.store import Store, open_store
from training.train import build_network

CONFIG = parse(
    {
        "network": {"stacks": 2, "channels": 8, "depth": 2, "skeleton": "body21"},
        "batch": 4,
        "loss": "cross_entropy",
        "phases": [{"size": 64, "images": 4}],
    },
    "test",
)


@pytest.fixture(scope="module")
def store(drawn_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    return open_store(people, drawn_people, tmp_path_factory.mktemp("store"), 0.0, ())


def test_who_knows_nothing_loses_the_logarithm_of_the_cells(store: Store):
    network, skeleton = build_network(CONFIG)
    torch.nn.init.zeros_(network.heads[0].weight)
    torch.nn.init.zeros_(network.heads[0].bias)
    flat, other = stack_losses(network.eval(), store, skeleton, CONFIG, 64)
    entropy = math.log(16 * 16)
    assert flat == pytest.approx(entropy + OFFSET_WEIGHT * entropy**2, abs=1e-4)
    assert other != pytest.approx(flat, abs=1e-3)


def test_every_joint_counts_once_in_batches_of_any_size(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """Also where the last batch is smaller, or its people have fewer joints."""
    weights = store.weights.copy()
    weights[6:, 3:] = 0
    fewer = replace(store, weights=weights)
    network, skeleton = build_network(CONFIG)
    network.eval()
    whole = stack_losses(network, fewer, skeleton, CONFIG, 64)
    monkeypatch.setattr(held_out, "_AT_ONCE", 3)
    assert stack_losses(network, fewer, skeleton, CONFIG, 64) == pytest.approx(whole, rel=1e-5)
    assert stack_losses(network, store, skeleton, CONFIG, 64) != pytest.approx(whole, rel=1e-5)
