import csv
from itertools import repeat
from pathlib import Path

import pytest
import torch
from torch import Tensor

import training.train
from rtpose.bench.accuracy import head_pck, torso_pck
from rtpose.bench.inference import predict
from rtpose.checkpoint import Checkpoint
from rtpose.datasets.coco import read_coco
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass
from rtpose.skeleton import BODY21
from training.batches import crops_reader, stream_batches
from training.config import STILL, TrainConfig, parse
from training.run import RunFolder
from training.store import Store, open_store
from training.teacher import Teachers
from training.train import (
    Pace,
    Progress,
    build_network,
    evaluated_at,
    phase_starts,
    settle,
    train,
)

TINY = {
    "network": {"stacks": 2, "channels": 8, "depth": 2},
    "phases": [{"size": 64, "images": 24}, {"size": 80, "images": 16}],
    "batch": 8,
}


@pytest.fixture(scope="module")
def store(drawn_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    return open_store(people, drawn_people, tmp_path_factory.mktemp("cache"), 0.5, ())


def run_training(
    config: TrainConfig, store: Store, path: Path, resume: bool = False, stop_after: int = 10**9
) -> tuple[DCHourglass, RunFolder]:
    """Train with a checkpoint at every step; stop as a killed process would."""
    path.mkdir(exist_ok=True)
    last: list[DCHourglass] = []

    def evaluate(network: DCHourglass, size: int) -> dict[str, float]:
        last[:] = [network]
        return {"score": float(sum(p.detach().abs().sum() for p in network.parameters()))}

    class Stopping(RunFolder):
        def save(self, state: dict[str, object]) -> None:
            super().save(state)
            if state["step"] == stop_after:
                raise KeyboardInterrupt

    folder = Stopping(path)
    train(config, store, folder, evaluate, lambda *_: None, resume, pace=Pace(save_s=0))
    return last[0], folder


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_interrupted_and_resumed_is_the_same_as_never_interrupted(
    optimiser: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(training.train, "EVALUATE_STEPS", (1, 2))
    config = parse(TINY | {"optimiser": {"name": optimiser}}, "tiny")
    whole, folder = run_training(config, store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_training(config, store, tmp_path / "parts", stop_after=2)
    resumed, parts = run_training(config, store, tmp_path / "parts", resume=True)
    assert parts.scores.read_text() == folder.scores.read_text()
    assert len(folder.scores.read_text().splitlines()) == 1 + 5
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_evaluated_by_steps_and_not_by_the_clock():
    when = lambda first, end: [s for s in range(first + 1, end + 1) if evaluated_at(s, first, end)]  # noqa: E731
    assert when(1000, 2234) == [*range(1124, 2234, 124), 2234]
    assert when(5, 50) == [25, 45, 50]  # not more often than settling takes batches
    assert when(0, 100_000) == list(range(5000, 100_001, 5000))


def test_progress_and_scores_are_told(store: Store, tmp_path: Path):
    told: list[Progress] = []
    config, folder = parse(TINY, "tiny"), RunFolder(tmp_path)
    score = lambda network, size: {"val": float(size)}  # noqa: E731
    train(config, store, folder, score, lambda *_: None, False, report=told.append)
    assert [(p.step, p.steps, p.size) for p in told] == [(3, 5, 64), (5, 5, 80)]
    assert all(p.loss > 0 and p.images_per_s == 8 * p.steps_per_s > 0 for p in told)
    assert told[0].scores == {} and told[1].scores == {"val": 64.0}
    rows = list(csv.DictReader(folder.scores.open()))
    assert rows == [{"step": "3", "val": "64.0"}, {"step": "5", "val": "80.0"}]


def test_stops_when_time_is_up_and_goes_on(store: Store, tmp_path: Path):
    config = parse(TINY, "tiny")
    told: list[int] = []
    go = lambda resume, stop_s: train(  # noqa: E731
        config, store, RunFolder(tmp_path), lambda *_: {"val": 1.0}, lambda *_: None, resume,
        pace=Pace(stop_s=stop_s), report=lambda p: told.append(p.step),
    )  # fmt: skip
    assert go(False, 0.0) == {}
    assert told == [1]
    # as Ctrl-C does
    train(
        config, store, RunFolder(tmp_path), lambda *_: {"val": 1.0}, lambda *_: None, True,
        interrupted=lambda: True,
    )  # fmt: skip
    assert RunFolder(tmp_path).load()["step"] == 2
    assert go(True, float("inf")) == {"val": 1.0}
    assert told == [1, 3, 5]


def test_teachers_are_shown_the_same_pictures_in_their_own_sizes(store: Store, tmp_path: Path):
    """Also by a run that goes on."""
    config = parse(TINY, "tiny")

    class Listener:
        name = device = precision = "none"

        def __init__(self, input_size: int) -> None:
            self.input_size = input_size
            self.shown: list[Tensor] = []

        def __call__(self, crops: Tensor) -> Tensor:
            self.shown.append(crops)
            side = self.input_size // 4
            return torch.full((len(crops), len(BODY21), side, side), 1 / side**2)

        def warm_up(self) -> None:
            """Nothing to do."""

    listeners = [Listener(96), Listener(64)]
    for resume, pace in ((False, Pace(stop_s=0.0)), (True, Pace())):
        train(
            config, store, RunFolder(tmp_path), lambda *_: {"val": 1.0}, lambda *_: None, resume,
            teachers=Teachers(listeners, 0.5), pace=pace,
        )  # fmt: skip
    crops_of = crops_reader(store, "cpu")
    for listener in listeners:
        same = stream_batches(store, crops_of, BODY21, config, 0, listener.input_size)
        assert len(listener.shown) == 5
        for crops, batch in zip(listener.shown, same, strict=False):
            assert torch.equal(crops, batch.pictures)


def test_another_networks_checkpoint_is_refused(store: Store, tmp_path: Path):
    run_training(parse(TINY, "tiny"), store, tmp_path)
    wider = parse(TINY | {"network": {"stacks": 2, "channels": 16, "depth": 2}}, "w")
    with pytest.raises(RtposeError, match="checkpoint is of another network"):
        run_training(wider, store, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"network": {"stacks": 2, "channels": 7}}, "network: channels must be even, not 7"),
        ({"phases": [{"size": 100, "images": 8}]}, "size 100 is no multiple of 16"),
    ],
)
def test_a_network_that_cannot_be_is_named(changed: dict[str, object], said: str):
    with pytest.raises(RtposeError, match=said):
        build_network(parse(TINY | changed, "tiny"))


def test_long_links_begin_closed_or_open():
    def far(links: str) -> torch.Tensor:
        network = {"stacks": 3, "channels": 8, "depth": 2, "long_links": links}
        built, _ = build_network(parse(TINY | {"network": network}, "tiny"))
        weight: torch.Tensor = built.merges[1].weight
        return weight[:, : 8 + 21]

    assert far("closed").abs().max() == 0
    assert far("open").abs().max() > 0.01


def test_training_may_start_from_trained_weights(store: Store, tmp_path: Path):
    """With a rate of nothing, what comes out is what went in."""
    still = TINY | {
        "optimiser": {"rate": 0.0, "warmup_steps": 1},
        "phases": [{"size": 64, "images": 8}],
    }
    config = parse(still, "still")
    torch.manual_seed(7)
    trained = DCHourglass(Architecture(2, 8, 21, depth=2))
    tmp_path.mkdir(exist_ok=True)
    seen: list[DCHourglass] = []
    evaluate = lambda network, size: (seen.append(network), {"score": 0.0})[1]  # noqa: E731
    start = Checkpoint(trained, BODY21, 64)
    train(config, store, RunFolder(tmp_path), evaluate, lambda *_: None, False, start)
    weights = trained.state_dict()
    for name, parameter in seen[-1].named_parameters():
        torch.testing.assert_close(parameter, weights[name])

    wider = Checkpoint(DCHourglass(Architecture(2, 16, 21, depth=2)), BODY21, 64)
    with pytest.raises(RtposeError, match="the weights to start from are"):
        train(config, store, RunFolder(tmp_path), evaluate, lambda *_: None, False, wider)


def test_fixed_batch_norm_goes_by_the_statistics_of_the_weights_it_starts_from(
    store: Store, tmp_path: Path
):
    config = parse(TINY | {"batch_norm": "fixed"}, "tiny")
    network, skeleton = build_network(config)
    for _ in range(3):
        network(torch.rand(4, 3, 64, 64) * 255)
    start = Checkpoint(network.eval(), skeleton, 64)
    scored: list[DCHourglass] = []

    def evaluate(network: DCHourglass, size: int) -> dict[str, float]:
        scored.append(network)
        return {"score": float(len(scored))}

    train(config, store, RunFolder(tmp_path), evaluate, lambda *_: None, False, start)
    assert len(scored) == 3
    before = dict(network.named_buffers())
    for name, tensor in scored[-1].named_buffers():
        torch.testing.assert_close(tensor, before[name], msg=name)
    learned = dict(scored[-1].named_parameters())
    assert all(not torch.equal(p, learned[name]) for name, p in network.named_parameters())


def test_fixed_batch_norm_wants_weights_to_start_from(store: Store, tmp_path: Path):
    config = parse(TINY | {"batch_norm": "fixed"}, "tiny")
    with pytest.raises(RtposeError, match="give --start"):
        train(config, store, RunFolder(tmp_path), lambda *_: {}, lambda *_: None, False)


def test_weights_to_start_from_are_the_best_until_others_are(store: Store, tmp_path: Path):
    start = Checkpoint(DCHourglass(Architecture(2, 8, 21, depth=2)), BODY21, 96)
    coming = iter([50.0, 49.0, 51.0])
    kept: list[tuple[int, float]] = []
    config, folder = parse(TINY, "tiny"), RunFolder(tmp_path)
    train(
        config, store, folder, lambda *_: {"val": next(coming)},
        lambda network, size, scores: kept.append((size, scores["val"])), False, start,
    )  # fmt: skip
    assert kept == [(96, 50.0), (80, 51.0)]  # they at their own size, nothing of the first phase
    rows = list(csv.DictReader(folder.scores.open()))
    assert [row["step"] for row in rows] == ["0", "3", "5"]
    assert folder.best_step() == 5


def test_a_run_that_fails_at_its_first_step_is_one_to_resume(store: Store, tmp_path: Path):
    """Else the next one in this folder would add its scores to those of another start."""
    start = Checkpoint(DCHourglass(Architecture(2, 8, 21, depth=2)), BODY21, 64)
    broken = Store(store.crops, store.joints * float("nan"), store.weights, store.people)
    config, folder = parse(TINY, "tiny"), RunFolder(tmp_path)
    kept: list[float] = []
    go = lambda data, resume, val: train(  # noqa: E731
        config, data, folder, lambda *_: {"val": val},
        lambda network, size, scores: kept.append(scores["val"]), resume, start,
    )  # fmt: skip
    with pytest.raises(RtposeError, match="loss is nan"):
        go(broken, False, 50.0)
    assert folder.checkpoint.exists() and folder.best_step() == 0
    go(store, True, 40.0)
    assert kept == [50.0] and folder.best_step() == 0


def test_damaged_or_missing_checkpoint(tmp_path: Path):
    with pytest.raises(RtposeError, match="nothing to resume from"):
        RunFolder(tmp_path).load()
    RunFolder(tmp_path).checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(RtposeError, match="damaged checkpoint"):
        RunFolder(tmp_path).load()


def test_a_checkpoint_of_a_gpu_is_read_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:7")
        RunFolder(tmp_path).save({"weights": torch.arange(3)})
    weights = RunFolder(tmp_path).load()["weights"]
    assert weights.device.type == "cpu" and weights.tolist() == [0, 1, 2]


def test_squared_error_is_learned_too(store: Store, tmp_path: Path):
    changed = {
        "loss": "mse",
        "phases": [{"size": 64, "images": 160}],
        "optimiser": {"rate": 0.005, "warmup_steps": 1},
    }
    told: list[float] = []
    train(
        parse(TINY | changed, "squares"), store, RunFolder(tmp_path),
        lambda *_: {"val": 1.0}, lambda *_: None, False,
        pace=Pace(report_s=0), report=lambda progress: told.append(progress.loss),
    )  # fmt: skip
    assert len(told) == 20 and sum(told[-5:]) < 0.7 * sum(told[:5])


def test_a_loss_that_is_not_a_number_names_the_pictures(store: Store, tmp_path: Path):
    broken = Store(store.crops, store.joints * float("nan"), store.weights, store.people)
    with pytest.raises(RtposeError, match=r"loss is nan at step 0; pictures: .*train-\d\.png"):
        run_training(parse(TINY, "tiny"), broken, tmp_path)


def test_settled_weights_know_their_own_statistics():
    torch.manual_seed(0)
    average = DCHourglass(Architecture(stacks=1, channels=8, joints=4, depth=2))
    before = {name: value.clone() for name, value in average.state_dict().items()}
    pictures = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
    settled = settle(average, repeat(pictures))
    answers = settled.eval()(pictures)
    # in training mode it is the batch's own statistics, but for n / (n - 1) in the variance
    own = average.train()(pictures)
    torch.testing.assert_close(answers, own, rtol=0.05, atol=1e-3)
    average.load_state_dict(before)
    assert (answers - average.eval()(pictures)).abs().max() > 0.01
    assert all(torch.equal(before[name], value) for name, value in average.state_dict().items())


def test_phases():
    config = parse(TINY, "tiny")
    assert phase_starts(config.phases, 8) == [0, 3, 5]


def test_overfits_eight_pictures(drawn_people: Path, store: Store, tmp_path: Path):
    """Data, augmentation, targets, loss, loop, decode and metric must all agree for this."""
    config = parse(
        {
            "network": {"stacks": 2, "channels": 32, "depth": 2},
            "phases": [{"size": 96, "images": 960}],
            "batch": 8,
            "optimiser": {"rate": 0.01, "warmup_steps": 10, "ema_decay": 0.9},
        },
        "overfit",
    )
    config = TrainConfig(**(config.__dict__ | {"augment": STILL}))
    network, _ = run_training(config, store, tmp_path)
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    engine = EagerEngine(Checkpoint(network, BODY21, 96))
    scored = predict(people, drawn_people, engine, BODY21)
    assert torso_pck(scored, BODY21).overall > 95
    assert head_pck(scored, BODY21).overall > 95
