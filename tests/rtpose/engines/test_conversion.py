"""The whole network becomes one TensorRT engine: proved without a GPU, by TensorRT-RTX."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rtpose.shipped import shipped_networks, weights_folder


@pytest.fixture(scope="module")
def rtx() -> None:
    try:
        found = importlib.metadata.version("torch-tensorrt-rtx")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('needs torch-tensorrt-rtx: pip install ".[conversion]"')
    if found.split(".")[:2] != torch.__version__.split(".")[:2]:
        pytest.skip(f"torch-tensorrt-rtx {found} does not fit torch {torch.__version__}")


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize("model", shipped_networks())
def test_the_whole_network_becomes_one_engine(model: str):
    """Every operation is covered in a single engine, and TensorRT builds it for an RTX 40."""
    here = Path(__file__)
    done = subprocess.run(
        [sys.executable, str(here.parent / "tensorrt_without_gpu.py"), model],
        capture_output=True, text=True, check=False, timeout=1800,
        env=os.environ | {"PYTHONPATH": str(here.parents[3])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    graph = re.search(r"(\d+) Total Operators, of which (\d+) operators", found["dry_run"])
    assert graph is not None and graph[1] == graph[2], found["dry_run"]
    assert "100.0% coverage" in found["dry_run"]
    engines = re.findall(r"TRT Engine #\d+", found["dry_run"])
    assert len(engines) == 1
    # the weights are in it: two bytes each
    weights = (weights_folder() / f"pose-{model}.safetensors").stat().st_size
    assert found["bytes"] > 0.8 * weights
