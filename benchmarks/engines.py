"""Speed of every engine that can run here, beside the least time that the device could take.

``python -m benchmarks.engines`` first compares every engine's answers with the eager network's on
crops of real people, and stops if they differ. Then it times engines and batch sizes in rounds that
take turns, OpenVINO in every precision, and at the end the detector at its default size. An engine
that fails is written down as not measured. Writes ``benchmarks/results/engines.json`` and ``.md``
after every network, so a run that is cut off leaves what it has; on a GPU its name is in theirs.
``--small`` is the shortest run that still is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.record import (
    Record,
    here_and_now,
    keep,
    made_on,
    quartiles_ms,
    results_stem,
)
from benchmarks.roofline import count_work, floor_s, measure_device, seconds
from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.cpu_precision import possible_precisions
from rtpose.detector import load_detector
from rtpose.engines import parity
from rtpose.engines.available import ENGINES, why_not
from rtpose.engines.base import Engine
from rtpose.engines.batches import BUCKETS
from rtpose.engines.eager import EagerEngine
from rtpose.engines.openvino import OpenVinoEngine
from rtpose.engines.select import select_engine
from rtpose.errors import RtposeError, first_line
from rtpose.gpu import select_device
from rtpose.on_device import own_stream
from rtpose.photographs import photographed_people
from rtpose.shipped import find_weights, shipped_detector, shipped_networks
from rtpose.yolo import load_model


def check(name: str, engine: Engine, checkpoint: Checkpoint, ready_s: float) -> dict[str, object]:
    """Parity of one engine with eager on the CPU; `ready_s` is what it took to make it."""
    eager = EagerEngine(load_checkpoint(find_weights(name)))
    found = parity.check(eager, engine, checkpoint.input_size)
    print(f"{name} by {engine.name} {engine.precision}: {found}")
    if not found.holds:
        raise SystemExit(f"{name} by {engine.name}: answers otherwise than eager; nothing timed")
    return {
        "model": name,
        "engine": engine.name,
        "precision": engine.precision,
        "ready_s": round(ready_s, 1),
        **vars(found),
    }


def time_engines(
    name: str, checkpoint: Checkpoint, engines: list[Engine], batches: list[int], rounds: int
) -> list[dict[str, object]]:
    """Median ms of every engine and batch, and how far that is from the floor."""
    taken: dict[tuple[int, int], list[float]] = {}
    for _ in range(rounds):
        for i, engine in enumerate(engines):
            for batch in batches:
                crops = _crops(engine, batch)
                # as in the commands: on the default stream TensorRT waits once more
                with own_stream(engine.device):
                    times = seconds(partial(engine, crops), engine.device, 5)
                taken.setdefault((i, batch), []).extend(times)
    size = checkpoint.input_size
    work = count_work(checkpoint.network, torch.zeros(1, 3, size, size))
    rows = []
    for (i, batch), times in taken.items():
        engine = engines[i]
        device = measure_device(engine.device, engine.precision)
        floor = 1e3 * floor_s(work, batch, engine.precision, device)
        middle_s = float(np.median(times))
        rows.append(
            {
                "model": f"{name}, {size} px, {work.gmac:.2f} GMAC",
                "engine": f"{engine.name} {engine.precision} on {engine.device}",
                "crops": batch,
                **quartiles_ms(times),
                "crops_per_s": round(batch / middle_s, 1),
                "floor_ms": round(floor, 3),
                "part_of_roofline": round(floor / (1e3 * middle_s), 3),
                "device_tmac_per_s": round(device.macs / 1e12, 3),
                "device_gb_per_s": round(device.bandwidth / 1e9, 1),
            }
        )
    return rows


def time_detector(device: str, rounds: int) -> list[dict[str, object]]:
    """Milliseconds of the detector for one photograph, from the host's memory to boxes."""
    _, info = load_model(shipped_detector())
    on_cpu = possible_precisions(measured=bool(info.ranges))
    possible = on_cpu if device == "cpu" else ("fp16", "fp32")
    detectors = [load_detector(device=device, precision=precision) for precision in possible]
    image, _ = photographed_people()[0]
    taken: list[list[float]] = [[] for _ in detectors]
    for _ in range(rounds):
        for detector, times in zip(detectors, taken, strict=True):
            times += seconds(partial(detector, image), device, 5)
    return [
        {
            "detector": f"{detector.name}, {detector.size} px, {detector.precision}",
            **quartiles_ms(times),
        }
        for detector, times in zip(detectors, taken, strict=True)
    ]


def main(
    model: Annotated[
        list[str] | None, typer.Option(help="Pose networks; else all shipped.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    rounds: Annotated[int, typer.Option(help="Rounds of five runs each.")] = 10,
    small: Annotated[bool, typer.Option("--small", help="One round, batches 1 and 4.")] = False,
) -> None:
    """Check, measure, print and record."""
    device = select_device(device)
    batches, rounds = ([1, 4], 1) if small else (list(BUCKETS), rounds)
    if device == "cpu":
        # torch's threads spin after work and take the cores that openvino is about to use
        torch.set_num_threads(1)
    missing = {n: fault for n in ENGINES if (fault := why_not(n, device)) is not None}
    kinds = [n for n in ENGINES if n not in missing]
    record = here_and_now(device)
    record |= {"missing": missing, "parity": [], "speed": [], "detector": []}

    def write() -> None:
        text = _markdown(record)
        if small:
            print(text)
        else:
            keep(results_stem("engines", device), record, text)

    for name in model or shipped_networks():
        checkpoint = load_checkpoint(find_weights(name))
        engines: list[Engine] = []
        for kind, make in _engines(kinds, checkpoint, device):
            # one engine that fails is no reason to lose what the others take
            try:
                began = time.perf_counter()
                engine = make()
                ready_s = time.perf_counter() - began
                record["parity"].append(check(name, engine, checkpoint, ready_s))
                engines.append(engine)
            except (RtposeError, torch.OutOfMemoryError) as error:
                missing[f"{kind} for {name}"] = f"fails: {first_line(error)}"
        record["speed"] += time_engines(name, checkpoint, engines, batches, rounds)
        write()
    record["detector"] = time_detector(device, rounds)
    write()


def _engines(
    kinds: list[str], checkpoint: Checkpoint, device: str
) -> Iterator[tuple[str, Callable[[], Engine]]]:
    """What makes each engine, OpenVINO's in every precision, and what it is called if it fails."""
    for kind in kinds:
        if kind == "openvino":
            for precision in possible_precisions(measured=bool(checkpoint.peaks)):
                yield kind, partial(OpenVinoEngine, checkpoint, precision)
            continue
        yield kind, partial(_selected, kind, checkpoint, device)


def _selected(kind: str, checkpoint: Checkpoint, device: str) -> Engine:
    return select_engine(kind, checkpoint, device).engine


def _crops(engine: Engine, count: int) -> torch.Tensor:
    crops = parity.real_crops(engine.input_size)
    # on the engine's device already: the cutting is done there
    return crops.repeat(-(-count // len(crops)), 1, 1, 1)[:count].to(engine.device)


def _markdown(record: Record) -> str:
    missing, checks, speed, detectors = (
        record[name] for name in ("missing", "parity", "speed", "detector")
    )
    lines = [
        "# Speed of the engines",
        "",
        f"Made by `python -m benchmarks.engines` on {made_on(record)}.",
        "",
        *(f"Not measured: {name}, which {fault}." for name, fault in missing.items()),
        "",
        "First the answers, against eager fp32 on the CPU, on crops of real people:",
        "",
        "| model | engine | joints | within 0.5 px | mean px apart, nearest 95 % | at most | "
        "ready after s |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {c['model']} | {c['engine']} {c['precision']} | {c['joints']} | "
            f"{100 * c['same']:.1f} % | {c['apart_px']:.3f} | {c['farthest_px']:.1f} | "
            f"{c['ready_s']} |"
            for c in checks
        ),
        "",
        "The floor is the longer of the multiply-adds at the device's rate for a large matrix "
        "product and the bytes at its rate for a large copy, both measured in the same run. In "
        "eight bits the product's rate is float32's where PyTorch has none quicker.",
        "",
        "| model | engine | crops | ms, median | middle half | crops/s | floor ms | of roofline |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {s['model']} | {s['engine']} | {s['crops']} | {s['ms']} | "
            f"{s['ms_p25']} to {s['ms_p75']} | {s['crops_per_s']} | {s['floor_ms']} | "
            f"{s['part_of_roofline']:.0%} |"
            for s in speed
        ),
        "",
    ]
    if detectors:
        lines += [
            "| detector, one photograph | ms, median | middle half |",
            "|---|---|---|",
            *(
                f"| {d['detector']} | {d['ms']} | {d['ms_p25']} to {d['ms_p75']} |"
                for d in detectors
            ),
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
