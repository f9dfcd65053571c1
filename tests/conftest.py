"""Small real inputs that many tests share."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings

from rtpose.checkpoint import Checkpoint
from rtpose.network import Architecture, DCHourglass
from rtpose.pose import Image
from rtpose.skeleton import BODY21

# no timed tests: machines are shared
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data that lies beside a checkout where there is any."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def bus() -> Image:
    """A photograph of four people at a bus, which the ultralytics wheel carries."""
    spec = importlib.util.find_spec("ultralytics")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "assets" / "bus.jpg"
    image = cv2.imread(str(path))
    assert image is not None, path
    return image.astype(np.uint8)


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    """An untrained network whose batch statistics have settled: small, but it computes."""
    torch.manual_seed(0)
    network = DCHourglass(Architecture(stacks=3, channels=8, joints=len(BODY21), depth=2))
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(4, 3, 64, 64) * 255)
    return Checkpoint(network.eval(), BODY21, 64)
