"""The paper's experiment: the same network connected in different ways, everything else alike."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtpose.bench.accuracy import Scored, head_pck, torso_pck
from rtpose.bench.inference import predict
from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.datasets.find import find_dataset
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.metrics import COLUMNS, columns
from rtpose.skeleton import BODY21, find_skeleton
from training.config import TrainConfig
from training.data import training_people
from training.fit import fingerprint, fit
from training.held_out import stack_losses
from training.parallel import Processes
from training.run import RunFolder
from training.store import open_store

VARIANTS: dict[str, dict[str, Any]] = {
    "chain": {"connect": "chain"},
    "dense": {"connect": "dense", "long_links": "closed"},
    "dense-open": {"connect": "dense", "long_links": "open"},
    "early": {"connect": "early", "long_links": "closed"},
}
"""chain is Newell's; dense is ours, whose long links start at zero; dense-open is the paper's,
whose links all start alike; early prunes the late links, as the paper's conclusion proposes."""


@dataclass(frozen=True)
class Result:
    """Scores of one network on one set, in percent.

    Attributes
    ----------
    variant, seed, split
    parameters : int
    joints : dict
        PCKh@0.5 by the paper's columns.
    total : float
        PCKh@0.5 of all labelled joints.
    torso : float
        PCK@0.2 of the twelve limb joints.
    losses : list of float
        Of each stack, see `training.held_out`; not in percent.
    """

    variant: str
    seed: int
    split: str
    parameters: int
    joints: dict[str, float]
    total: float
    torso: float
    losses: list[float]


def compare(
    config: TrainConfig,
    data: Path,
    out: Path,
    variants: list[str],
    seeds: list[int],
    splits: list[str],
    device: str = "cpu",
) -> list[Result]:
    """Train every variant with every seed, and score each on every split, without flip test.

    A run that is complete is not made again, one that was cut short goes on; what was scored is
    kept beside the run. Returned is all that is in the folder, from earlier calls too, if they had
    the same config.

    Parameters
    ----------
    config : TrainConfig
        What they have in common; its connections and seed are replaced.
    data : Path
    out : Path
        Folder for the runs.
    variants : list of str
        Of `VARIANTS`.
    seeds : list of int
    splits : list of str
    device : str

    Raises
    ------
    RtposeError
        If a variant is unknown, a split missing, the skeleton lacks a joint of the table, or the
        folder holds results of another config or other people.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise RtposeError(f"unknown variant {unknown[0]!r}: choose {', '.join(VARIANTS)}")
    skeleton = find_skeleton(config.network.skeleton, BODY21)
    absent = {joint for joints in COLUMNS.values() for joint in joints} - {*skeleton.joints}
    if absent:
        raise RtposeError(
            f"the paper's table needs joints that {skeleton.name} lacks ({min(absent)}): set "
            "network: {skeleton: body21}, mpii16 or lsp14"
        )
    dataset = find_dataset(data)
    people = {split: dataset.read(split, skeleton) for split in splits}
    if finished := [RunFolder(done.parent) for done in sorted(out.glob("*/done"))]:
        given = {"--data": fingerprint(*training_people(dataset, skeleton))}
        for folder in finished:
            name, _, number = folder.path.name.rpartition("-")
            folder.check_config(_own(config, name, int(number)))
            folder.check_given(given)
    for seed in seeds:
        for name in variants:
            own = _own(config, name, seed)
            folder = RunFolder(out / f"{name}-{seed}")
            if not (folder.path / "done").exists():
                alone = Processes(0, 1, device)
                fit(own, data, folder, resume=folder.checkpoint.exists(), processes=alone)
                (folder.path / "done").touch()
            for split in splits:
                kept = folder.path / f"result-{split}.json"
                if not kept.exists():
                    checkpoint = load_checkpoint(folder.best)
                    scored = predict(
                        people[split], dataset.pictures, EagerEngine(checkpoint, device), skeleton
                    )
                    # only what a person labelled: what networks said is no truth to judge them by
                    store = open_store(people[split], dataset.pictures, out / "cache", 0.0, ())
                    losses = stack_losses(
                        checkpoint.network.to(device), store, skeleton, own, checkpoint.input_size
                    )
                    result = _result(name, seed, split, checkpoint, scored, losses)
                    kept.write_text(json.dumps(vars(result)))
    found = [Result(**json.loads(path.read_text())) for path in out.glob("*/result-*.json")]
    order = list(VARIANTS)
    return sorted(found, key=lambda r: (r.split, order.index(r.variant), r.seed))


def _own(config: TrainConfig, variant: str, seed: int) -> TrainConfig:
    """The config of one of the compared runs."""
    return replace(config, network=replace(config.network, **VARIANTS[variant]), seed=seed)


def _result(
    name: str, seed: int, split: str, checkpoint: Checkpoint, scored: Scored, losses: list[float]
) -> Result:
    skeleton = checkpoint.skeleton
    pckh = head_pck(scored, skeleton)
    return Result(
        name,
        seed,
        split,
        sum(p.numel() for p in checkpoint.network.parameters()),
        columns(pckh, skeleton),
        pckh.overall,
        torso_pck(scored, skeleton).overall,
        losses,
    )
