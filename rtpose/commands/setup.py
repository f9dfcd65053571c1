"""What commands that pose frames put together from the user's settings, in the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rtpose.commands.options import Settings
from rtpose.commands.terminal import console
from rtpose.draw import draw_poses
from rtpose.estimator import Estimator, load_estimator
from rtpose.follow import Follower, new_follower
from rtpose.pose import FrameResult
from rtpose.skeleton import Skeleton, find_skeleton


@dataclass(frozen=True)
class Setup:
    """Ready to take frames.

    Attributes
    ----------
    estimator : Estimator
        Warmed up.
    shown : Skeleton
        What is drawn.
    settings : Settings
    """

    estimator: Estimator
    shown: Skeleton
    settings: Settings

    @property
    def engine(self) -> str:
        """What runs the network, in a few words."""
        engine = self.estimator.engine
        return f"{self.settings.model} by {engine.name} {engine.precision} on {engine.device}"

    def warm_up(self, size: tuple[int, int]) -> None:
        """Do all that only the first frame of a size (width, height) would do."""
        self.estimator.detector(np.zeros((size[1], size[0], 3), np.uint8))

    def new_follower(self) -> Follower:
        """Frames of one source to people with ids, of whom none has been seen yet."""
        settings = self.settings
        return new_follower(self.estimator, settings.detect_every, smooth=settings.smooth)

    def draw(self, result: FrameResult) -> None:
        """Draw the people into their frame, in place."""
        draw_poses(
            result.frame.image,
            result.poses,
            self.shown,
            min_score=self.settings.min_joint,
            predicted=self.estimator.skeleton,
        )


def set_up(settings: Settings, stage_threads: int | None = None) -> Setup:
    """Load the networks, say what runs them and why, and find out what is to be drawn.

    Parameters
    ----------
    settings : Settings
    stage_threads : int, optional
        See `rtpose.estimator.load_estimator`.

    Raises
    ------
    RtposeError
        See `rtpose.estimator.load_estimator`; or if the skeleton to be drawn is unknown or has
        joints that the network does not predict.
    """
    estimator = load_estimator(
        settings.model,
        device=settings.device,
        engine=settings.engine,
        detector=settings.detector,
        detect_size=settings.detect_size,
        confidence=settings.confidence,
        flip_test=settings.flip_test,
        stage_threads=stage_threads,
    )
    if estimator.engine.name == "openvino":
        # torch's threads go on spinning after each small operation and take the cores that
        # openvino is about to use: the detector is half as fast again without them
        torch.set_num_threads(1)
    predicted = estimator.skeleton
    shown = find_skeleton(settings.skeleton, predicted) if settings.skeleton else predicted
    setup = Setup(estimator, shown, settings)
    # here, so that every command says it, and once
    mirrored = " with flip test" if settings.flip_test else ""
    words = f"{setup.engine}{mirrored}: {estimator.reason}"
    console.print(words, markup=False)
    return setup
