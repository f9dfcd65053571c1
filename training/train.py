"""The training loop."""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from rtpose.checkpoint import Checkpoint
from rtpose.errors import RtposeError
from rtpose.network import STRIDE, Architecture, DCHourglass
from rtpose.skeleton import BODY21, Skeleton, find_skeleton
from training.average import update_average
from training.batches import Batch, crops_reader, stream_batches
from training.config import PhaseConfig, TrainConfig
from training.losses import supervised_loss, target_maps
from training.on_gpu import made_beside, recorded
from training.optimisers import learning_rate, make_optimisers
from training.parallel import ALONE, Processes
from training.precision import mixed_precision
from training.run import RunFolder
from training.snapshot import restore, snapshot
from training.store import Store
from training.teacher import Lesson, Teachers, teach

Evaluate = Callable[[DCHourglass, int], dict[str, float]]
"""Scores of a network at a crop size; the first one is what the best is chosen by."""

SaveBest = Callable[[DCHourglass, int, dict[str, float]], None]

_SETTLING_BATCHES = 20
"""After as many the loss no longer changes."""

EVALUATIONS = 10
"""In each phase, evenly."""

EVALUATE_STEPS = (_SETTLING_BATCHES, 5000)
"""At least and at most between two: settling should not cost more than learning, and a long phase
should not keep its first weights back for a day."""


@dataclass(frozen=True)
class Pace:
    """How often, in seconds, something is done beside training; and when to stop for now."""

    report_s: float = 30.0
    save_s: float = 240.0
    stop_s: float = math.inf


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    step, steps : int
        Done, and in all.
    size : int
        Side of the crops in pixels.
    loss : float
        Mean since the last report.
    rate : float
    images_per_s, steps_per_s : float
    scores : dict
        Of the last evaluation; empty before the first.
    """

    step: int
    steps: int
    size: int
    loss: float
    rate: float
    images_per_s: float
    steps_per_s: float
    scores: dict[str, float]


def network_shape(config: TrainConfig) -> tuple[Architecture, Skeleton]:
    """What network a config names, and the skeleton that it answers with.

    Raises
    ------
    RtposeError
        If there is no such network or skeleton, or a phase's crops cannot be halved so often.
    """
    n = config.network
    skeleton = find_skeleton(n.skeleton, BODY21)
    try:
        shape = Architecture(n.stacks, n.channels, len(skeleton), n.connect, n.depth)
    except ValueError as error:
        raise RtposeError(f"the config's network: {error}") from error
    step = STRIDE * 2**shape.depth
    for phase in config.phases:
        if phase.size % step:
            raise RtposeError(f"the config's phases: size {phase.size} is no multiple of {step}")
    return shape, skeleton


def build_network(config: TrainConfig) -> tuple[DCHourglass, Skeleton]:
    """The network and skeleton that a config names, untrained.

    Raises
    ------
    RtposeError
        See `network_shape`.
    """
    shape, skeleton = network_shape(config)
    torch.manual_seed(config.seed)
    network = DCHourglass(shape)
    if config.network.long_links == "open":
        for merge in network.merges:
            merge.reset_parameters()  # type: ignore[operator]
    return network, skeleton


def phase_starts(phases: tuple[PhaseConfig, ...], batch: int) -> list[int]:
    """First step of each phase, and the number of steps at the end."""
    starts = [0]
    for phase in phases:
        starts.append(starts[-1] + max(phase.images // batch, 1))
    return starts


def evaluated_at(step: int, first: int, end: int) -> bool:
    """Whether weights are evaluated after so many steps, in a phase from `first` to `end`.

    By steps and not by the clock: which weights are the best must not depend on how fast a
    machine is, nor on how often a run was stopped.
    """
    least, most = EVALUATE_STEPS
    apart = min(max(math.ceil((end - first) / EVALUATIONS), least), most)
    return step == end or (step - first) % apart == 0


def settle(average: DCHourglass, pictures: Iterator[Tensor]) -> DCHourglass:
    """A copy of averaged weights with the batch norm statistics that they have themselves.

    The mean of the statistics that the network had on its way is not that: at a high rate the
    loss of one and the same average was 13.86 with it and 13.15 with its own, PCK@0.2 62 and 75.

    Parameters
    ----------
    average : DCHourglass
        Not changed, so that training does not depend on when it is evaluated.
    pictures : iterator of (B, 3, S, S) uint8
        Enough are taken.
    """
    settled = copy.deepcopy(average)
    update_bn(islice(pictures, _SETTLING_BATCHES), settled)
    return settled


def train_step(
    network: DCHourglass,
    optimisers: Sequence[torch.optim.Optimizer],
    batch: Batch,
    config: TrainConfig,
    processes: Processes,
    every_stack: Callable[[Tensor], list[Tensor]],
    lesson: Lesson | None = None,
) -> float:
    """One step; the loss of the whole batch as a number.

    Parameters
    ----------
    network : DCHourglass
    optimisers : sequence of torch.optim.Optimizer
    batch : Batch
        The process's part of the whole batch.
    config : TrainConfig
    processes : Processes
    every_stack : callable
        The network's, as `processes` gives it.
    lesson : Lesson, optional
        What teachers say of the same batch.

    Raises
    ------
    RtposeError
        If the loss is not finite.
    """
    device = network.mean.device
    pictures = batch.pictures.to(device).contiguous(memory_format=torch.channels_last)
    absent = batch.absent.to(device)
    weights = torch.where(absent, config.absent_weight, batch.weights.to(device))
    with mixed_precision(device.type):
        logits = every_stack(pictures)
    side = logits[0].shape[-1]
    targets = target_maps(batch.joints.to(device), absent, side, config.sigma, config.loss)
    if lesson:
        targets, weights = teach(targets, weights, absent, lesson)
    loss = supervised_loss(logits, targets, weights, config.loss)
    # the loss is a mean over this process's joints; of the whole batch's it is this part
    loss = loss * (weights.sum() / processes.mean(weights.sum()).clamp_min(1e-6))
    value = processes.mean(loss).item()
    if not math.isfinite(value):
        raise RtposeError(f"the loss is {value}")
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip_norm)
    for optimiser in optimisers:
        optimiser.step()
    return value


def train(
    config: TrainConfig,
    store: Store,
    run: RunFolder,
    evaluate: Evaluate,
    save_best: SaveBest,
    resume: bool,
    start: Checkpoint | None = None,
    teachers: Teachers | None = None,
    processes: Processes = ALONE,
    pace: Pace = Pace(),
    report: Callable[[Progress], None] = lambda progress: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Train to the end of the config's phases, or until `pace` or `interrupted` says stop.

    Parameters
    ----------
    config : TrainConfig
    store : Store
        People to learn from.
    run : RunFolder
    evaluate : callable
        Scores the averaged weights, settled; called where `evaluated_at` says so, and for `start`.
    save_best : callable
        Called with a network, the crop size and its scores whenever the first of the scores is
        the best so far.
    resume : bool
        Go on from the run's checkpoint, exactly.
    start : Checkpoint, optional
        Trained weights to begin with instead of random ones. They are the best until others are.
    teachers : Teachers, optional
        Whose heatmaps are learned beside the labels.
    processes : Processes
        Only the first of several reports, evaluates and writes.
    pace : Pace
    report : callable
        Told how far it is, every `pace.report_s`.
    interrupted : callable
        Whether to save and stop, asked after each step.

    Raises
    ------
    RtposeError
        If `start` is another network than the config's, the loss is not finite, or there are
        more processes than pictures in a batch.

    Returns
    -------
    dict
        The last scores; empty if it stopped before the first.
    """
    if config.batch < processes.count:
        raise RtposeError(f"a batch of {config.batch} does not feed {processes.count} processes")
    device = processes.device
    on_gpu = torch.device(device).type == "cuda"
    network, skeleton = build_network(config)
    if start is not None:
        if start.network.architecture != network.architecture:
            raise RtposeError(
                f"the weights to start from are {start.network.architecture}, "
                f"the config asks for {network.architecture}"
            )
        network.load_state_dict(start.network.state_dict())
    elif config.batch_norm == "fixed" and not resume:
        raise RtposeError("batch_norm: fixed is for weights to start from; give --start")
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval()
    if config.batch_norm == "fixed":
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    optimisers = make_optimisers(network, config.optimiser)
    every_stack = processes.every_stack(network)
    crops_of = crops_reader(store, device)
    starts = phase_starts(config.phases, config.batch)
    step, best = 0, -math.inf
    if resume:
        step, best = restore(run.load(), network, average, optimisers)
    if processes.first:
        run.forget_after(step if resume else -1)

    scores: dict[str, float] = {}
    losses: list[float] = []
    began = saved = reported = time.monotonic()

    def score(weights: DCHourglass, size: int) -> dict[str, float]:
        """Note what weights are worth, and keep those better than all before."""
        nonlocal best, saved
        worth = evaluate(weights, size)
        run.log_scores(step, worth)
        chosen = next(iter(worth.values()))
        if chosen > best:
            best = chosen
            save_best(weights, size, worth)
            # at once: a run that is killed now must not forget how good these are
            saved = -math.inf
        return worth

    def settled(size: int) -> DCHourglass:
        """A copy of the averaged weights with the statistics to run with."""
        if config.batch_norm == "fixed":
            kept: DCHourglass = copy.deepcopy(average)
            return kept
        ahead = stream_batches(store, crops_of, skeleton, config, step, size)
        return settle(average, (batch.pictures for batch in ahead))

    if start is not None and not resume and processes.first:
        score(start.network, start.input_size)
        # its weights and scores are in the folder now, so a run that fails at once is one to resume
        run.save(snapshot(step, best, network, average, optimisers))
        saved = reported = time.monotonic()
    for number, phase in enumerate(config.phases):
        if step >= starts[number + 1]:
            continue

        # the same batches, also in the sizes that the teachers are used to
        streams = {
            size: stream_batches(store, crops_of, skeleton, config, step, size, processes.part)
            for size in {phase.size, *(teachers.input_sizes if teachers else ())}
        }
        if on_gpu:
            streams = {size: made_beside(made, device) for size, made in streams.items()}
        if on_gpu and processes.count == 1:
            # the memory of the phase before is given back: PyTorch's recordings hold themselves
            every_stack = network.every_stack
            gc.collect()
            torch.cuda.empty_cache()
            every_stack = recorded(network, config.batch, phase.size)
        while step < starts[number + 1]:
            rate = learning_rate(config.optimiser, step, starts[-1])
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate
            batches = {size: next(made) for size, made in streams.items()}
            batch = batches[phase.size]
            lesson = None
            if teachers is not None:
                seen = [batches[size].pictures for size in teachers.input_sizes]
                lesson = teachers(seen, phase.size // STRIDE)
            try:
                losses.append(
                    train_step(network, optimisers, batch, config, processes, every_stack, lesson)
                )
            except RtposeError as error:
                names = sorted({store.people.pictures[i] for i in batch.rows.tolist()})
                raise RtposeError(f"{error} at step {step}; pictures: {', '.join(names)}") from None
            step += 1
            update_average(average, network, config.optimiser.ema_decay, step)
            now = time.monotonic()
            stop = processes.first_says(now - began >= pace.stop_s or interrupted())
            last = step == starts[number + 1]
            if not processes.first:
                if stop:
                    return scores
                continue
            if now - reported >= pace.report_s or last or stop:
                speed = len(losses) / (now - reported)
                report(
                    Progress(
                        step,
                        starts[-1],
                        phase.size,
                        sum(losses) / len(losses),
                        rate,
                        speed * config.batch,
                        speed,
                        scores,
                    )
                )
                losses, reported = [], now
            if evaluated_at(step, starts[number], starts[number + 1]):
                scores = score(settled(phase.size), phase.size)
                reported = time.monotonic()
                losses = []
            if now - saved >= pace.save_s or last or stop:
                run.save(snapshot(step, best, network, average, optimisers))
                saved = time.monotonic()
            if stop:
                return scores
    return scores
