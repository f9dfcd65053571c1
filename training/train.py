"""The training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass
from rtpose.skeleton import BODY21, Skeleton, find_skeleton
from training.batches import Batch, stream_batches
from training.config import OptimiserConfig, PhaseConfig, TrainConfig
from training.losses import supervised_loss
from training.muon import Muon
from training.run import RunFolder
from training.store import Store

log = logging.getLogger(__name__)

Evaluate = Callable[[DCHourglass, int], dict[str, float]]
"""Scores of a network at a crop size; the first one is what `best.safetensors` is chosen by."""


def build_network(config: TrainConfig) -> tuple[DCHourglass, Skeleton]:
    """The network and skeleton that a config names."""
    n = config.network
    skeleton = find_skeleton(n.skeleton, BODY21)
    torch.manual_seed(config.seed)
    network = DCHourglass(Architecture(n.stacks, n.channels, len(skeleton), n.connect, n.depth))
    return network, skeleton


def learning_rate(optimiser: OptimiserConfig, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine from `rate` to ``rate * final``."""
    if step < optimiser.warmup_steps:
        return optimiser.rate * (step + 1) / optimiser.warmup_steps
    done = (step - optimiser.warmup_steps) / max(steps - optimiser.warmup_steps, 1)
    wave = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return optimiser.rate * (optimiser.final + (1 - optimiser.final) * wave)


def phase_starts(phases: tuple[PhaseConfig, ...], batch: int) -> list[int]:
    """First step of each phase, and the number of steps at the end."""
    starts = [0]
    for phase in phases:
        starts.append(starts[-1] + max(phase.images // batch, 1))
    return starts


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights toward the network's; quickly at first, when they are poor."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def train_step(
    network: DCHourglass,
    optimisers: Sequence[torch.optim.Optimizer],
    batch: Batch,
    config: TrainConfig,
) -> float:
    """One step; the loss as a number.

    Raises
    ------
    RtposeError
        If the loss is not finite.
    """
    device = network.mean.device
    pictures = batch.pictures.to(device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16):
        logits = network.every_stack(pictures)
    absent = batch.absent.to(device)
    weights = torch.where(absent, config.absent_weight, batch.weights.to(device))
    loss = supervised_loss(
        logits, batch.joints.to(device), weights, absent, config.sigma, config.loss
    )
    value = loss.item()
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
    save_best: Callable[[DCHourglass, int, dict[str, float]], None],
    resume: bool,
    start: DCHourglass | None = None,
    device: str = "cpu",
    report_every_s: float = 30.0,
    save_every_s: float = 240.0,
    evaluate_every_s: float = 600.0,
) -> dict[str, float]:
    """Train to the end of the config's phases.

    Parameters
    ----------
    config : TrainConfig
    store : Store
        People to learn from.
    run : RunFolder
    evaluate : callable
        Scores the averaged weights; called now and then and at the end.
    save_best : callable
        Called with the averaged network, the crop size and its scores whenever the first of the
        scores is the best so far.
    resume : bool
        Go on from the run's checkpoint, exactly.
    start : DCHourglass, optional
        Trained weights to begin with instead of random ones.

    Raises
    ------
    RtposeError
        If `start` is another network than the config's, or the loss is not finite.

    Returns
    -------
    dict
        The last scores.
    """
    network, skeleton = build_network(config)
    if start is not None:
        if start.architecture != network.architecture:
            raise RtposeError(
                f"the weights to start from are {start.architecture}, "
                f"the config asks for {network.architecture}"
            )
        network.load_state_dict(start.state_dict())
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average, _ = build_network(config)
    average = average.to(device).eval()
    average.load_state_dict(network.state_dict())
    optimisers = make_optimisers(network, config.optimiser)
    starts = phase_starts(config.phases, config.batch)
    step, best = 0, -math.inf
    if resume:
        state = run.load()
        step, best = restore(state, network, average, optimisers)
        log.info("resumed at step %d of %d", step, starts[-1])

    scores: dict[str, float] = {}
    losses: list[float] = []
    saved = evaluated = reported = time.monotonic()
    images_since = 0
    for number, phase in enumerate(config.phases):
        if step >= starts[number + 1]:
            continue
        batches = stream_batches(store, skeleton, config, step, phase.size)
        while step < starts[number + 1]:
            rate = learning_rate(config.optimiser, step, starts[-1])
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate
            batch = next(batches)
            try:
                losses.append(train_step(network, optimisers, batch, config))
            except RtposeError as error:
                names = sorted({store.people.pictures[i] for i in batch.rows.tolist()})
                raise RtposeError(f"{error} at step {step}; pictures: {', '.join(names)}") from None
            step += 1
            images_since += config.batch
            update_average(average, network, config.optimiser.ema_decay, step)
            now = time.monotonic()
            last = step == starts[number + 1]
            if now - reported >= report_every_s or last:
                speed = images_since / (now - reported)
                mean = sum(losses) / len(losses)
                log.info(
                    "step %d/%d  %d px  loss %.4f  rate %.2e  %.0f images/s",
                    step, starts[-1], phase.size, mean, rate, speed,
                )  # fmt: skip
                run.log(
                    {"step": step, "size": phase.size, "loss": mean, "rate": rate, "speed": speed}
                )
                losses, images_since, reported = [], 0, now
            if now - evaluated >= evaluate_every_s or last:
                scores = evaluate(average, phase.size)
                log.info("step %d  %s", step, "  ".join(f"{k} {v:.2f}" for k, v in scores.items()))
                chosen = next(iter(scores.values()))
                if chosen > best:
                    best = chosen
                    save_best(average, phase.size, scores)
                evaluated = reported = time.monotonic()
                images_since = 0
            if now - saved >= save_every_s or last:
                run.save(snapshot(step, best, network, average, optimisers))
                saved = time.monotonic()
    return scores


def make_optimisers(network: DCHourglass, config: OptimiserConfig) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon for the hidden convolutions and AdamW for the rest.

    Biases and normalisation are not decayed.
    """
    hidden: list[nn.Parameter] = []
    if config.name == "muon":
        ends = {id(p) for m in (network.stem[0], *network.heads) for p in m.parameters()}
        hidden = [p for p in network.parameters() if p.ndim > 1 and id(p) not in ends]
    taken = {id(p) for p in hidden}
    others = [p for p in network.parameters() if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.rate, betas=config.betas, fused=True)
    ]
    if hidden:
        optimisers.append(Muon(hidden, config.rate, config.momentum, config.weight_decay))
    return optimisers


def snapshot(
    step: int,
    best: float,
    network: nn.Module,
    average: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
) -> dict[str, Any]:
    """All that `restore` needs. Chance needs nothing: batches are functions of the step."""
    return {
        "step": step,
        "best": best,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
    }


def restore(
    state: dict[str, Any],
    network: nn.Module,
    average: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
) -> tuple[int, float]:
    """Put a snapshot back; the step and the best score so far.

    Raises
    ------
    RtposeError
        If it is of another network.
    """
    try:
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        for optimiser, its_state in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(its_state)
        return int(state["step"]), float(state["best"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise RtposeError(f"the checkpoint is of another network: {error}") from error
