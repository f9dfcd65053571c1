"""``python -m benchmarks.peers accuracy|speed``: measure, and write results/peers.json, .md, .png.

Either command replaces its own half of the results and keeps the other's. Environments for the
peers are made on first use, in the user's cache folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.peers.systems import LEFT_OUT, System, all_systems
from benchmarks.peers.table import markdown, scatter
from benchmarks.record import RESULTS, here_and_now
from rtpose.bench.accuracy import Scored, score
from rtpose.bench.measured import measured
from rtpose.bench.report import plain
from rtpose.datasets.find import find_dataset
from rtpose.skeleton import COCO17

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

WeightsOption = Annotated[Path, typer.Option(help="Folder with MoveNet's .tflite and YOLO's .pt.")]
OnlyOption = Annotated[str, typer.Option(help="Only systems with this in their name.")]


@app.command()
def accuracy(
    data: Annotated[Path, typer.Option(help="Folder with val and lsp_test, json and pictures.")],
    weights: WeightsOption,
    limit: Annotated[int | None, typer.Option(help="Most people of a split.")] = None,
    only: OnlyOption = "",
) -> None:
    """PCK@0.2 of the 12 joints all have, everybody in the boxes of the labels."""
    dataset = find_dataset(data)
    splits = []
    for name in ("lsp_test", "val"):
        people = dataset.read(name, COCO17)
        splits.append(people.take(np.flatnonzero(people.labelled.any(1))[:limit]))
    for system in _chosen(weights, only):
        rows: dict[str, dict[str, Any]] = {}
        for people in splits:
            job = system.job | {
                "people": [
                    {"picture": str(dataset.pictures / picture), "box": box.tolist()}
                    for picture, box in zip(people.pictures, people.boxes, strict=True)
                ]
            }
            joints = _place(system, job).astype(np.float32)
            nobody = np.asarray(np.isnan(joints).all(axis=(1, 2)))
            for row in score(Scored(joints, people), COCO17):
                if row.measure == "PCK@0.2, 12 joints":
                    of_source = np.array(people.sources) == row.source
                    rows[row.source] = {
                        "pck": round(row.means.a16, 2),
                        "people": row.people,
                        "left_out": row.without_reference,
                        "not_found": int(nobody[of_source].sum()),
                    }
        print(system.name, rows)
        _record("accuracy", _read().get("accuracy", {}) | {system.name: rows})


@app.command()
def speed(
    clips: Annotated[list[str], typer.Argument(help="CLIP=PEOPLE, e.g. squats.mp4=1.")],
    weights: WeightsOption,
    rounds: Annotated[int, typer.Option(help="Times each system sees each clip.")] = 5,
    only: OnlyOption = "",
) -> None:
    """Frames a second from the file to everybody's joints; systems take turns."""
    systems = [system for system in _chosen(weights, only) if system.clips]
    fps: dict[str, dict[str, list[float]]] = {}
    found: dict[str, dict[str, list[float]]] = {}
    # threads are part of a system's best settings
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    for i in range(rounds):
        for clip, people in (words.rsplit("=", 1) for words in clips):
            for system in systems:
                job = system.job | {"clip": str(Path(clip).resolve()), "people": int(people)}
                seen = _follow(system, job, environment)
                name = f"{Path(clip).name}, {people}"
                fps.setdefault(name, {}).setdefault(system.name, []).append(seen["fps"])
                found.setdefault(name, {}).setdefault(system.name, []).append(seen["people"])
                print(f"round {i + 1} of {rounds}: {name}: {system.name} {seen['fps']:.1f} fps")
    speeds = {
        name: {
            system: {
                "fps": plain(measured(values, "fps")),
                "people": round(float(np.mean(found[name][system])), 2),
            }
            for system, values in of_clip.items()
        }
        for name, of_clip in fps.items()
    }
    _record("speed", speeds)


def _chosen(weights: Path, only: str) -> list[System]:
    chosen = [system for system in all_systems(weights) if only in system.name]
    if not chosen:
        raise SystemExit(f"no system has {only!r} in its name")
    return chosen


def _place(system: System, job: dict[str, Any]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        paper, out = Path(folder) / "job.json", Path(folder) / "out.npz"
        paper.write_text(json.dumps(job))
        system.run("place", paper, out, dict(os.environ))
        joints: np.ndarray = np.load(out)["joints"]
        return joints


def _follow(system: System, job: dict[str, Any], environment: dict[str, str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        paper, out = Path(folder) / "job.json", Path(folder) / "out.json"
        paper.write_text(json.dumps(job))
        system.run("follow", paper, out, environment)
        seen: dict[str, float] = json.loads(out.read_text())
        return seen


def _read() -> dict[str, Any]:
    path = RESULTS / "peers.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return record


def _record(half: str, figures: dict[str, Any]) -> None:
    """Replace one half of the results; read again first, the other may have been measured."""
    record = _read() | {half: figures, "left_out": LEFT_OUT}
    # each half its own: they are not always measured on one machine
    made = here_and_now()
    record["made"] = record.get("made", {}) | {half: made}
    (RESULTS / "peers.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "peers.md").write_text(markdown(record))
    if "accuracy" in record and "speed" in record:
        scatter(record, RESULTS / "peers.png")


if __name__ == "__main__":
    app()
