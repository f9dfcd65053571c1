"""Whether ids stay with the person: our tracker beside ultralytics' ByteTrack.

``python -m benchmarks.identity`` lets two cut-out people cross, pass and turn back at several
speeds and frame rates, finds them with the shipped detector and pose network, gives ids with
`rtpose.follow` and with ByteTrack (needs ``pip install lap``), and writes
``benchmarks/results/identity.json`` and ``.md``. ``--corridor corridor.mp4`` adds a real clip of
which `PASSAGES` tells when somebody is there. Nothing is timed or random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from scipy.optimize import linear_sum_assignment

from benchmarks.record import Record, here_and_now, keep, made_on
from rtpose.estimator import Estimator, load_estimator
from rtpose.follow import Follower
from rtpose.geometry import box_iou
from rtpose.host import installed_version
from rtpose.media.sources import VideoFile
from rtpose.offline import import_ultralytics
from rtpose.on_device import Picture
from rtpose.photographs import PEOPLE, read_photograph
from rtpose.pose import Detections, FloatArray, Frame, Image
from training.bystanders import silhouettes

SURE, UNSURE = 0.35, 0.1
"""Least scores of a person: the shipped detector's own, and ByteTrack's for its second matching."""

PASSAGES = ((60, 199), (228, 448), (502, 698), (746, 867), (922, 1199), (1235, 1358))
"""First and last frame of corridor.mp4 (10 frames a second) in which something of each of its six
people is in the picture. Read by eye off a sheet of every 10th frame, where nobody shares a moment
with another, and one of every second frame around comings and goings: right to two frames."""

FPS, STEPS = 30, (1, 2, 6)
"""Frames a second of the crossings, and of which only every n-th is shown; then n times, from
another frame on each, so that every frame is used at every rate."""

WIDTH, HEIGHT, TALL = 640, 360, 220
"""Pixels of the crossings' pictures, and of a person."""

SPEEDS = (0.4, 0.8, 1.6)
"""Of each walker, in body heights a second: strolling, walking, running."""

_FAR, _WAIT_S = 0.9, 0.5
_SEEN = 1 / 3
"""Part of a body that must be in view; frames in which less is are not judged."""

Found = tuple[FloatArray, FloatArray, FloatArray]
"""Boxes and scores from UNSURE on, best first, and the joints of those from SURE on."""

Ids = tuple[FloatArray, list[int]]
"""A frame's boxes (N, 4) that have ids, and these."""


def ways(motion: str, speed: float, t: float) -> tuple[float, float]:
    """Where the two are at a time in seconds from -`_FAR` / speed on, in body heights.

    Both walk and meet at 0 s (cross); one does and the other stands (pass); or they meet, stay for
    half a second, one behind the other, and walk back (turn).
    """
    if motion == "turn":
        away = -speed * max(abs(t) - _WAIT_S / 2, 0.0)
        return away, -away
    return speed * t, -speed * t if motion == "cross" else 0.0


MOTIONS = ("cross", "pass", "turn")


@dataclass(frozen=True)
class Clip:
    """Frames that can be had again, what the networks found in them, and who is where if known.

    `truth` has the boxes (2, 4) of frames by their index; None is where one hides the other.
    """

    frames: Callable[[], Iterator[Frame]]
    fps: float
    found: dict[int, Found]
    truth: dict[int, FloatArray | None]


def look(frames: Iterable[Frame], estimator: Estimator) -> dict[int, Found]:
    """Both networks on every frame."""
    found = {}
    for frame in frames:
        boxes, scores = estimator.detector(frame.image)
        sure = int((scores >= SURE).sum())
        found[frame.index] = boxes, scores, estimator.place_joints(frame.image, boxes[:sure])
    return found


def ours(
    frames: Iterable[Frame],
    found: dict[int, Found],
    place_joints: Callable[[Picture, FloatArray], FloatArray],
    every: int,
) -> dict[int, Ids]:
    """Ids of `rtpose.follow`; the pose network runs only for boxes not in `found`."""
    boxes, scores, joints = next(iter(found.values()))

    def detect(_: Picture) -> Detections:
        return boxes, scores

    def place(picture: Picture, where: FloatArray) -> FloatArray:
        return joints if where is boxes else place_joints(picture, where)

    follow = Follower(detect, place, detect_every=every)
    ids = {}
    for frame in frames:
        boxes, scores, joints = found[frame.index]
        boxes, scores = boxes[: len(joints)], scores[: len(joints)]
        known = [pose for pose in follow(frame).poses if pose.id is not None]
        where = np.array([pose.box for pose in known], np.float32).reshape(-1, 4)
        ids[frame.index] = where, [pose.id for pose in known if pose.id is not None]
    return ids


def bytetrack(found: dict[int, Found], fps: float, least: float) -> dict[int, Ids]:
    """Ids of ultralytics' ByteTrack for boxes with that score at least."""
    arguments = SimpleNamespace(
        track_high_thresh=SURE,
        new_track_thresh=SURE,
        track_low_thresh=UNSURE,
        track_buffer=max(1, round(fps)),  # in frames: a second, as ours waits by place
        match_thresh=0.8,
        fuse_score=True,
    )
    tracker = import_ultralytics("ultralytics.trackers.byte_tracker").BYTETracker(arguments)
    make_boxes = import_ultralytics("ultralytics.engine.results").Boxes
    ids = {}
    for index, (boxes, scores, _) in found.items():
        table = np.column_stack([boxes, scores, np.zeros(len(boxes))])[scores >= least]
        tracks = tracker.update(make_boxes(table, (HEIGHT, WIDTH))).reshape(-1, 8)
        # the detector's boxes, not the smoothed ones: only identity is judged
        ids[index] = boxes[tracks[:, 7].astype(int)], [int(i) for i in tracks[:, 4]]
    return ids


def identity(truth: dict[int, FloatArray | None], given: dict[int, Ids]) -> dict[str, int]:
    """Counts of how well ids stay with people, over the frames with a truth.

    Boxes agree from an intersection over union of 0.5 on. `kept`, IDTP, is the most boxes that
    agree if every person is given one id and every id one person; IDF1 is 2 kept / (there +
    answered) (Ristani et al. 2016). Switches and fragments are those of CLEAR MOT (Bernardin and
    Stiefelhagen 2008): somebody's id is another than the last; somebody is found again after
    frames without. Pairs of before are kept for as long as they agree.
    """
    agreed: dict[tuple[int, int], int] = {}
    last: dict[int, int] = {}
    lost: set[int] = set()
    counts = dict.fromkeys(("kept", "there", "answered", "switches", "fragments"), 0)
    for index, (boxes, ids) in given.items():
        people = truth[index]
        if people is None:
            continue
        counts["there"] += len(people)
        counts["answered"] += len(ids)
        overlap = box_iou(people, boxes)
        overlap[overlap < 0.5] = 0
        for p, b in np.argwhere(overlap):
            agreed[p, ids[b]] = agreed.get((p, ids[b]), 0) + 1
        before = np.array([[last.get(p) == i for i in ids] for p in range(len(people))])
        rows, columns = linear_sum_assignment(
            overlap * (1 + 9 * before.reshape(overlap.shape)), maximize=True
        )
        met = {int(p): ids[b] for p, b in zip(rows, columns, strict=True) if overlap[p, b]}
        counts["switches"] += sum(last.get(p, i) != i for p, i in met.items())
        counts["fragments"] += len(met.keys() & lost)
        lost = {p for p in last.keys() | met.keys() if p not in met}
        last |= met
    all_ids = sorted({i for _, i in agreed})
    table = np.zeros((1 + max((p for p, _ in agreed), default=0), len(all_ids)))
    for (p, i), count in agreed.items():
        table[p, all_ids.index(i)] = count
    counts["kept"] = int(table[linear_sum_assignment(table, maximize=True)].sum())
    return counts | {"ids": len({i for _, ids in given.values() for i in ids})}


def passages(given: dict[int, Ids]) -> dict[str, int]:
    """Counts on corridor.mp4, where one person at a time is there: see `_markdown`."""
    frames: dict[int, int] = {}
    for _, ids in given.values():
        for i in ids:
            frames[i] = frames.get(i, 0) + 1
    counts = {"ids": len(frames), "single": sum(n == 1 for n in frames.values()), "changes": 0}
    counts |= {"with_id": 0, "there": 0}
    for first, last in PASSAGES:
        inside = [ids for index, (_, ids) in given.items() if first <= index <= last]
        counts["there"] += len(inside)
        # of several the one longest there
        main = [max(ids, key=lambda i: frames[i]) for ids in inside if ids]
        counts["with_id"] += len(main)
        counts["changes"] += sum(a != b for a, b in pairwise(main))
    return counts


def cut_out(estimator: Estimator) -> list[tuple[Image, np.ndarray]]:
    """Two people of bus.jpg, `TALL` pixels high, with their silhouettes."""
    photograph, people = read_photograph("bus.jpg"), []
    boxes = np.array([PEOPLE["bus.jpg"][i] for i in (0, 2)], np.float32)
    for box, joints in zip(boxes, estimator.place_joints(photograph, boxes), strict=True):
        scale = TALL / (box[3] - box[1])
        shift = 0.5 * np.array([TALL, TALL]) - scale * box.reshape(2, 2).mean(0)
        turn = np.hstack([scale * np.eye(2), shift[:, None]])
        picture = cv2.warpAffine(photograph, turn, (TALL, TALL), flags=cv2.INTER_AREA)
        place = torch.from_numpy((joints[None, :, :2] * scale + shift).astype(np.float32))
        body = silhouettes(place, torch.ones(place.shape[:2]), estimator.skeleton, TALL)
        people.append((np.asarray(picture, np.uint8), body[0].numpy()))
    return people


def crossing(people: list[tuple[Image, np.ndarray]], motion: str, speed: float) -> Clip:
    """The first person comes from the left, in front of the second, over plain grey."""
    begin_s, top = _FAR / speed + (_WAIT_S / 2 if motion == "turn" else 0), (HEIGHT - TALL) // 2
    times = np.arange(-begin_s, begin_s, 1 / FPS)

    def draw(t: float) -> tuple[Image, FloatArray | None]:
        picture = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
        boxes: list[list[int]] = []
        covered = np.zeros((HEIGHT, WIDTH), np.uint8)
        for i, ((person, body), way) in reversed(
            list(enumerate(zip(people, ways(motion, speed, t), strict=True), 1))
        ):
            left = round(WIDTH / 2 + TALL * (way - 0.5))
            part = np.s_[top : top + TALL, left : left + TALL]
            picture[part][body], covered[part][body] = person[body], i
            y, x = np.nonzero(body)
            boxes.insert(0, [left + x.min(), top + y.min(), left + x.max() + 1, top + y.max() + 1])
        seen = (covered == 2).sum() / people[1][1].sum()
        return picture, np.array(boxes, np.float32) if seen >= _SEEN else None

    def frames() -> Iterator[Frame]:
        for index, t in enumerate(times.tolist()):
            yield Frame(draw(t)[0], index, index / FPS)

    return Clip(frames, FPS, {}, {i: draw(t)[1] for i, t in enumerate(times.tolist())})


def replay(
    clip: Clip, estimator: Estimator, step: int, start: int = 0
) -> dict[str, dict[int, Ids]]:
    """Ids of every way to give them, for every `step`-th frame."""
    found = {index: f for index, f in clip.found.items() if index % step == start}

    def frames() -> Iterator[Frame]:
        return (frame for frame in clip.frames() if frame.index in found)

    return {
        "ours": ours(frames(), found, estimator.place_joints, 1),
        "ours, detector every 5th": ours(frames(), found, estimator.place_joints, 5),
        "ByteTrack": bytetrack(found, clip.fps / step, SURE),
        "ByteTrack, with unsure boxes": bytetrack(found, clip.fps / step, UNSURE),
    }


def measure(clips: dict[str, Clip], estimator: Estimator) -> list[dict[str, object]]:
    """Sums over the crossings, by motion, rate and tracker."""
    rows: dict[tuple[str, int, str], dict[str, int]] = {}
    for name, clip in clips.items():
        for step in STEPS:
            for start in range(step):
                for tracker, given in replay(clip, estimator, step, start).items():
                    counts = identity(clip.truth, given)
                    row = rows.setdefault((name.split()[0], FPS // step, tracker), {})
                    counts |= {"clips": 1, "swapped": int(counts["switches"] > 0)}
                    row.update({key: row.get(key, 0) + n for key, n in counts.items()})
    return [
        {"motion": motion, "camera_fps": fps, "tracker": tracker, **counts}
        for (motion, fps, tracker), counts in rows.items()
    ]


def walk(path: Path, estimator: Estimator) -> list[dict[str, object]]:
    """Counts on corridor.mp4, whole and with every second and third frame."""

    def frames() -> Iterator[Frame]:
        with VideoFile(path) as file:
            yield from file

    with VideoFile(path) as file:
        fps = float(file.info.rate)
    clip = Clip(frames, fps, look(frames(), estimator), {})
    return [
        {"camera_fps": round(fps / step, 1), "tracker": tracker, **passages(given)}
        for step in (1, 2, 3)
        for tracker, given in replay(clip, estimator, step).items()
    ]


def main(
    corridor: Annotated[Path | None, typer.Option(help="The real clip.")] = None,
    model: Annotated[str, typer.Option(help="A shipped network's name, or a file.")] = "nano",
) -> None:
    """Measure, print and record."""
    estimator = load_estimator(model, confidence=UNSURE)
    people = cut_out(estimator)
    clips = {f"{m} {speed}": crossing(people, m, speed) for m in MOTIONS for speed in SPEEDS}
    for clip in clips.values():
        clip.found.update(look(clip.frames(), estimator))
    record = here_and_now()
    record["machine"] |= {"lap": installed_version("lap")}
    record |= {
        "model": model,
        "crossings": measure(clips, estimator),
        "corridor": walk(corridor, estimator) if corridor else [],
    }
    keep("identity", record, _markdown(record))


def _markdown(record: Record) -> str:
    crossings, corridor = record["crossings"], record["corridor"]
    lines = [
        "# Whether ids stay with the person",
        "",
        f"Made by `python -m benchmarks.identity` on {made_on(record)}. Pose "
        f"network {record['model']}; both networks saw every frame once, and each tracker "
        "got the same boxes and scores. ByteTrack is ultralytics' with its own settings but for "
        f"{SURE} as score of a sure box, our detector's, and a second's frames as track_buffer, "
        "as ours waits where somebody should be; by clothes it knows people for two. ByteTrack is "
        f"shown every frame. Its unsure boxes begin at {UNSURE}.",
        "",
        "Two people cut out of a photograph move over plain grey, at "
        + ", ".join(map(str, SPEEDS))
        + " body heights a second; their limbs do not move, which is easier than life. `cross`: "
        "they walk past each other. `pass`: one walks past the other, who stands. `turn`: they "
        "meet, stay half a second, one hidden, and walk back. At 15 and 5 fps every crossing is "
        "shown from 2 and 6 first frames. Frames with less than a third of a body in view are not "
        "judged.",
        "",
        "| motion | fps | tracker | crossings | IDF1 | crossings with a switch | switches | "
        "fragments | ids a crossing |",
        "|---" * 9 + "|",
    ]
    for r in crossings:
        idf1 = 200 * r["kept"] / (r["there"] + r["answered"])
        lines.append(
            f"| {r['motion']} | {r['camera_fps']} | {r['tracker']} | {r['clips']} | {idf1:.1f} | "
            f"{r['swapped']} | {r['switches']} | {r['fragments']} | {r['ids'] / r['clips']:.1f} |"
        )
    if corridor:
        lines += [
            "",
            f"corridor.mp4, {len(PASSAGES)} people one after the other. Changes are those of "
            "the id in a person's passage; frames are those in which somebody is in the picture "
            "and has an id, of those in which something of somebody is.",
            "",
            "| fps | tracker | ids | of a single frame | changes | frames |",
            "|---" * 6 + "|",
            *(
                f"| {r['camera_fps']} | {r['tracker']} | {r['ids']} | {r['single']} | "
                f"{r['changes']} | {r['with_id']} of {r['there']} |"
                for r in corridor
            ),
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    typer.run(main)
