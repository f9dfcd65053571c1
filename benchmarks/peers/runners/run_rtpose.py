"""rtpose itself, as `rtpose video` uses it, up to the poses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Follow, Place, main

from rtpose.commands.options import Settings
from rtpose.commands.setup import set_up
from rtpose.estimator import Estimator
from rtpose.follow import new_follower
from rtpose.media.sources import VideoFile
from rtpose.skeleton import COCO17
from rtpose.stream import STAGE_THREADS, every_frame


def _load(job: dict[str, Any]) -> Estimator:
    settings = Settings(job["model"], flip_test=job.get("flip_test", False))
    return set_up(settings, STAGE_THREADS).estimator


def place(job: dict[str, Any]) -> Place:
    """Joints in a given box."""
    estimator = _load(job)
    view = list(estimator.skeleton.view(COCO17))

    def one(image: np.ndarray, box: np.ndarray) -> np.ndarray:
        return estimator.place_joints(image, box[None].astype(np.float32))[0, view]

    return one


def follow(job: dict[str, Any]) -> Follow:
    """Everybody in every frame, with ids."""
    estimator = _load(job)

    def run(clip: Path) -> Iterator[int]:
        with VideoFile(clip) as file:
            follower = new_follower(estimator)
            for result in every_frame(file, follower.look, follower.place):
                yield len(result.poses)

    return run


if __name__ == "__main__":
    main(place, follow)
