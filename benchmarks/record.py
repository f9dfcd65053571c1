"""What a benchmark leaves behind: benchmarks/results, JSON for programs and Markdown for people."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtpose.bench.machine import describe

RESULTS = Path(__file__).parent / "results"

Record = dict[str, Any]


def here_and_now(device: str = "cpu") -> Record:
    """Date and machine, the GPU too where one was measured: what every record begins with."""
    return {"date": datetime.date.today().isoformat(), "machine": describe() | _gpu(device)}


def _gpu(device: str) -> dict[str, str]:
    return {} if device == "cpu" else {"gpu": torch.cuda.get_device_name(device)}


def results_stem(name: str, device: str) -> str:
    """A benchmark's name, on a GPU with the GPU's: the CPU's results, which README links, stay."""
    words = re.findall("[a-z0-9]+", " ".join(_gpu(device).values()).lower())
    return "-".join([name, *words])


def made_on(record: Record) -> str:
    """The date and machine of a record in words."""
    return f"{record['date']}: " + ", ".join(f"{k} {v}" for k, v in record["machine"].items())


def quartiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles, in milliseconds, as `benchmarks.compare` reads them."""
    low, middle, high = 1e3 * np.percentile(seconds, (25, 50, 75))
    return {"ms": round(middle, 2), "ms_p25": round(low, 2), "ms_p75": round(high, 2)}


def keep(stem: str, record: Record | list[Record] | None, text: str) -> None:
    """Write a record and what is said of it, and say it; None where the text is all there is."""
    if record is not None:
        (RESULTS / f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / f"{stem}.md").write_text(text)
    print(text)
