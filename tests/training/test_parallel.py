"""Two CPU processes over gloo learn what one learns."""

import csv
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from rtpose.checkpoint import load_checkpoint
from rtpose.datasets.coco import read_coco
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21
from training.batches import crops_reader, draw_chances, make_batch
from training.config import parse
from training.faces import faceless
from training.parallel import ALONE, Processes, join_processes
from training.store import Store, open_store
from training.train import build_network, train, train_step

TINY = {
    "network": {"stacks": 3, "channels": 8, "depth": 2},
    "phases": [{"size": 64, "images": 8}],
    "batch": 5,
}
CONFIG = parse(TINY, "tiny")
PATIENCE_S = 300


@pytest.fixture(scope="module")
def store(drawn_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """People of whom some have few joints known, so that the parts of a batch weigh differently."""
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    store = open_store(people, drawn_people, tmp_path_factory.mktemp("cache"), 0.5, ())
    store.weights[::2, 3:] = 0
    return store


def gradients(
    store: Store, processes: Processes
) -> tuple[float, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Loss, gradients and weights after one step; batch norm by its running statistics.

    In fp32: bf16 rounds differently when other numbers of pictures go together.
    """
    network, skeleton = build_network(CONFIG)
    network.eval()
    chances = draw_chances(store.people.sources, {})
    no_face = torch.from_numpy(faceless(store.people, skeleton))
    batch = make_batch(
        store, crops_reader(store, "cpu"), chances, no_face, skeleton, CONFIG, 0, 64, processes.part
    )
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    every_stack = processes.every_stack(network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.train.mixed_precision", lambda _: nullcontext())
        loss = train_step(network, [optimiser], batch, CONFIG, processes, every_stack)
    grads = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    return loss, grads, network.state_dict()


def one_of_two(rank: int, port: int, store: Store, out: Path) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    with join_processes("cpu") as processes:
        torch.save(gradients(store, processes), out / f"{rank}.pt")
        with processes.first_goes_ahead():
            before = (out / "first was here").exists()
            (out / "first was here").touch()
        assert before == (not processes.first)
    threads = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_two_processes_have_the_gradients_of_one(store: Store, tmp_path: Path):
    torch.multiprocessing.spawn(one_of_two, (free_port(), store, tmp_path), nprocs=2)
    loss, grads, weights = gradients(store, ALONE)
    for rank in (0, 1):
        got_loss, got_grads, got_weights = torch.load(tmp_path / f"{rank}.pt")
        assert got_loss == pytest.approx(loss)
        assert got_grads.keys() == grads.keys() and len(grads) > 50
        for name, grad in grads.items():
            torch.testing.assert_close(got_grads[name], grad, rtol=1e-4, atol=1e-6)
        for name, tensor in weights.items():
            torch.testing.assert_close(got_weights[name], tensor, rtol=1e-4, atol=1e-6)


def test_parts_make_up_the_batch(store: Store):
    chances = draw_chances(store.people.sources, {})
    crops_of = crops_reader(store, "cpu")
    no_face = torch.arange(len(store)) % 2 == 0
    whole, *parts = (
        make_batch(store, crops_of, chances, no_face, BODY21, CONFIG, 3, 64, part)
        for part in (slice(None), *(Processes(rank, 2, "cpu").part for rank in (0, 1)))
    )
    assert [len(part.rows) for part in parts] == [3, 2]
    for rank, part in enumerate(parts):
        for name in ("pictures", "joints", "weights", "absent", "rows"):
            torch.testing.assert_close(getattr(part, name), getattr(whole, name)[rank::2])


def test_training_by_two_processes(drawn_people: Path, tmp_path: Path):
    config, run = tmp_path / "tiny.yaml", tmp_path / "runs" / "tiny"
    config.write_text(
        "network: {stacks: 2, channels: 8, depth: 2}\n"
        "batch: 4\nphases: [{size: 64, images: 8}, {size: 80, images: 4}]\n"
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--master-port", str(free_port()), "-m", "--", "training", "train", config,
            "--data", drawn_people, "--run", run,
        ],
        capture_output=True, text=True, timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(run / "best.safetensors").input_size in (64, 80)
    with (run / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "3"]
    assert torch.load(run / "last.pt", weights_only=True)["step"] == 3


def test_the_mean_is_the_whole_batchs(monkeypatch: pytest.MonkeyPatch):
    value = torch.tensor(3.0)
    assert ALONE.mean(value) == 3
    monkeypatch.setattr(distributed, "all_reduce", lambda tensor: tensor.add_(5))
    assert Processes(0, 2, "cpu").mean(value) == 4 and value == 3


def test_bad_numbers_of_processes(store: Store, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RtposeError, match="a batch of 5 does not feed 6 processes"):
        train(CONFIG, store, None, None, None, False, processes=Processes(0, 6, "cpu"))  # type: ignore[arg-type]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(RtposeError, match="several processes take a GPU each: say cuda"), \
            join_processes("cuda:0"):  # fmt: skip
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RtposeError, match="more processes than the 1 GPUs here"), \
            join_processes("cuda"):  # fmt: skip
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(RtposeError, match="CUDA GPUs here"), join_processes("cuda:99"):
        pass
    with join_processes("cpu:0") as processes:
        assert processes == Processes(0, 1, "cpu")
        assert np.arange(4)[processes.part].tolist() == [0, 1, 2, 3]
