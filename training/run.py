"""A run folder: config, metrics, checkpoints; written so that a killed run loses minutes only."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rtpose.errors import RtposeError
from rtpose.targets import write_whole
from training.config import TrainConfig, first_difference, read_config, write_config


@dataclass(frozen=True)
class RunFolder:
    """Where a training run keeps what it makes."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on."""
        return self.path / "last.pt"

    @property
    def config(self) -> Path:
        """What it was made with."""
        return self.path / "config.yaml"

    @property
    def given(self) -> Path:
        """What else, as hashes: people and teachers."""
        return self.path / "given.json"

    @property
    def best(self) -> Path:
        """The averaged weights that scored best, as rtpose reads them."""
        return self.path / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """One CSV line per report."""
        return self.path / "metrics.csv"

    @property
    def scores(self) -> Path:
        """One CSV line per evaluation."""
        return self.path / "scores.csv"

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, atomically."""
        # by way of memory: where the disk is full, torch's own writer dies of an internal error
        data = io.BytesIO()
        torch.save(state, data)
        write_whole(self.checkpoint, data.getvalue())

    def load(self) -> dict[str, Any]:
        """Read the checkpoint; tensors and plain values only, nothing is executed."""
        try:
            # to the host: the GPU it was saved from may not be here, or be another process's
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise RtposeError(f"{self.checkpoint}: nothing to resume from") from None
        except Exception as error:  # torch raises half a dozen types for a damaged archive
            raise RtposeError(f"{self.checkpoint}: damaged checkpoint: {error}") from error
        if not isinstance(state, dict):
            raise RtposeError(f"{self.checkpoint}: not a checkpoint of this program")
        return state

    def keep_config(self, config: TrainConfig) -> None:
        """Write down what a new run is made with."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_config(config, self.config)

    def check_config(self, config: TrainConfig) -> None:
        """Tell whether the run was made with this config.

        Raises
        ------
        RtposeError
            If it was not, or did not write down with which.
        """
        changed = first_difference(read_config(self.config), config)
        if changed:
            raise RtposeError(
                f"{self.config}: {changed}; a run goes on with the settings that it began with: "
                f"for others, a longer run too, begin a new one (train --start {self.best} "
                "begins with these weights)"
            )

    def keep_given(self, given: dict[str, Any]) -> None:
        """Write down what else a new run is made with, by the options that gave it."""
        self.given.write_text(json.dumps(given))

    def check_given(self, given: dict[str, Any]) -> None:
        """Tell whether the run was made with the same.

        Raises
        ------
        RtposeError
            If it was not.
        """
        if not self.given.exists():  # of a run that was begun before this was written down
            return
        before = json.loads(self.given.read_text())
        for option, value in given.items():
            if before.get(option) != value:
                raise RtposeError(
                    f"{self.path}: {option} gives something else than when this run began: go on "
                    "with the same, or begin a new run"
                )

    def forget_after(self, step: int) -> None:
        """Drop the lines of later steps: of a run that was killed after its last checkpoint."""
        for path in (self.metrics, self.scores):
            _keep(path, step)

    def log(self, row: dict[str, float]) -> None:
        """Add a line to the metrics."""
        _append(self.metrics, row)
        self._show(row, "train")

    def log_scores(self, step: int, scores: dict[str, float]) -> None:
        """Add a line to the scores."""
        _append(self.scores, {"step": step, **scores})
        self._show({"step": step, **scores}, "val")

    def best_step(self) -> int | None:
        """At which step the weights scored best; None before the first evaluation."""
        rows = read_rows(self.scores)
        # the first column after the step is what the best is chosen by, ties go to the earlier
        best = max(rows, key=lambda row: float(list(row.values())[1]), default=None)
        return None if best is None else int(best["step"])

    def _show(self, row: dict[str, float], group: str) -> None:
        # imported here: it takes a second, and one short file a report is what TensorBoard reads
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.path / "tensorboard")) as writer:
            for name, value in row.items():
                if name != "step":
                    writer.add_scalar(f"{group}/{name}", value, int(row["step"]))


def _append(path: Path, row: Mapping[str, float | str]) -> None:
    """A line of CSV, with a header before the first."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The lines of CSV; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _keep(path: Path, step: int) -> None:
    """Keep the lines of CSV up to a step; no file where there is none."""
    rows = read_rows(path)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    for row in rows:
        if int(row["step"]) <= step:
            _append(partial, row)
    if partial.exists():
        partial.replace(path)
    else:
        path.unlink(missing_ok=True)
