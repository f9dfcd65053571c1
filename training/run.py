"""A run folder: config, metrics, checkpoints; written so that a killed run loses minutes only."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rtpose.errors import RtposeError


@dataclass(frozen=True)
class RunFolder:
    """Where a training run keeps what it makes."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on."""
        return self.path / "last.pt"

    @property
    def metrics(self) -> Path:
        """One CSV line per report."""
        return self.path / "metrics.csv"

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, atomically."""
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def load(self) -> dict[str, Any]:
        """Read the checkpoint; tensors and plain values only, nothing is executed."""
        try:
            state = torch.load(self.checkpoint, weights_only=True)
        except FileNotFoundError:
            raise RtposeError(f"{self.checkpoint}: nothing to resume from") from None
        except Exception as error:  # torch raises half a dozen types for a damaged archive
            raise RtposeError(f"{self.checkpoint}: damaged checkpoint: {error}") from error
        if not isinstance(state, dict):
            raise RtposeError(f"{self.checkpoint}: not a checkpoint of this program")
        return state

    def log(self, row: dict[str, float]) -> None:
        """Append a line to the metrics, with a header before the first."""
        new = not self.metrics.exists()
        with self.metrics.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
