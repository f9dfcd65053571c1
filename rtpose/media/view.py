"""What every live view is to the rest of the program: a window, a browser page, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rtpose.pose import FrameResult


class Action(Enum):
    """What a person watching can ask for."""

    QUIT = "quit"
    PAUSE = "pause"
    MIRROR = "mirror"
    RECORD = "record"
    SNAPSHOT = "snapshot"
    HELP = "help"


@dataclass(frozen=True)
class Hud:
    """What is told beside the picture.

    Attributes
    ----------
    fps : float
        Frames shown per second, lately.
    latency_ms : float
        Age of the frame when it is shown, also again, from its capture; stands while paused.
    people : int
    engine : str
        Name, precision and device in a few words.
    recording, paused : bool
    notice : str
        One line for the person, such as a camera that is being waited for; empty if all is well.
    """

    fps: float
    latency_ms: float
    people: int
    engine: str
    recording: bool
    paused: bool
    notice: str


class View(Protocol):
    """Where live results are shown."""

    def show(self, result: FrameResult, hud: Hud) -> None:
        """Show a frame, skeletons drawn into its image already; never waits for the viewer."""
        ...

    def actions(self) -> Sequence[Action]:
        """What was asked for since the last call, in order; never waits."""
        ...

    def close(self) -> None:
        """Let go of the window or port; nothing if that was done already."""
        ...


class NoView:
    """Shows nothing and asks for nothing; see `View`."""

    def show(self, result: FrameResult, hud: Hud) -> None:
        """Nothing."""

    def actions(self) -> Sequence[Action]:
        """Nothing is ever asked for."""
        return ()

    def close(self) -> None:
        """Nothing to let go of."""
