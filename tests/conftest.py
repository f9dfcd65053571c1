"""Small real inputs that many tests share."""

import gzip
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings

from rtpose.checkpoint import Checkpoint
from rtpose.network import Architecture, DCHourglass
from rtpose.photographs import read_photograph
from rtpose.pose import Image
from rtpose.skeleton import BODY21

# no timed tests: machines are shared
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Keep converted networks between runs, but not among the user's own."""
    os.environ["XDG_CACHE_HOME"] = str(config.cache.mkdir("user"))


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
    return read_photograph("bus.jpg")


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    """An untrained network whose batch statistics have settled: small, but it computes."""
    torch.manual_seed(0)
    network = DCHourglass(Architecture(stacks=3, channels=8, joints=len(BODY21), depth=2))
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(4, 3, 64, 64) * 255)
    return Checkpoint(network.eval(), BODY21, 64)


def draw_figure(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """A 200 x 200 picture of dots, one colour a joint, with their places and a box."""
    image = random.integers(60, 120, (200, 200, 3)).astype(np.uint8)
    joints = random.uniform(60, 140, (len(BODY21), 2)).round()
    for k, (x, y) in enumerate(joints):
        colour = tuple(int(c) for c in np.random.default_rng(k).integers(0, 256, 3))
        cv2.circle(image, (int(x), int(y)), 5, colour, -1)
    return image, joints, [50.0, 50.0, 100.0, 100.0]


@pytest.fixture(scope="session")
def drawn_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with train.json.gz, val.json.gz and their pictures; eight people each."""
    folder = tmp_path_factory.mktemp("people")
    for seed, split in enumerate(("train", "val")):
        random = np.random.default_rng(seed)
        images, annotations = [], []
        for i in range(8):
            image, joints, box = draw_figure(random)
            name = f"{split}-{i}.png"
            cv2.imwrite(str(folder / name), image)
            images.append({"id": i, "file_name": name, "source": "drawn"})
            keypoints = np.concatenate([joints, np.full((len(joints), 1), 2)], axis=1)
            annotations.append(
                {"id": i, "image_id": i, "bbox": box, "keypoints": keypoints.flatten().tolist()}
            )
        data = {
            "categories": [{"name": "person", "keypoints": list(BODY21.joints)}],
            "images": images,
            "annotations": annotations,
        }
        with gzip.open(folder / f"{split}.json.gz", "wt") as file:
            json.dump(data, file)
    return folder
