"""Where joints go: one line of JSON a frame."""

from __future__ import annotations

import json
from pathlib import Path

from rtpose.media.lines import LineFile
from rtpose.pose import FrameResult, Pose
from rtpose.skeleton import Skeleton


class JsonlWriter:
    """One line of JSON for each frame, as it comes.

    A line stands for itself, there is no header::

        {"source": "in.mp4", "frame": 0, "time_s": 0.0, "unix_s": null,
         "width": 640, "height": 480, "people": [
            {"id": 1, "score": 0.93, "box": [x0, y0, x1, y1],
             "joints": {"right_ankle": [x, y, score], ...}}]}

    ``unix_s`` is when a camera or stream gave the picture, in seconds since 1970, null for files.
    ``id`` is null before tracking, and in the first frame of somebody who comes later than others,
    or the first few near where one was lost.
    Coordinates are pixels of the frame, rounded to hundredths, scores to four digits, times to
    microseconds. Every line is complete when it is written, so the file is under its final name
    from the start and stays there whatever happens after.

    Parameters
    ----------
    path : Path
    skeleton : Skeleton
        Names of the joints, in the order of the poses' arrays.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    RtposeError
        If the file cannot be written, or exists and may not be overwritten.
    """

    def __init__(self, path: Path, skeleton: Skeleton, overwrite: bool = False) -> None:
        self._skeleton = skeleton
        self._file = LineFile(path, overwrite)

    def write(self, result: FrameResult) -> None:
        """Write one frame's line.

        Raises
        ------
        RtposeError
            If the file can no longer be written: a full disk.
        ValueError
            If a pose has another number of joints than the skeleton, or a number is not finite.
        """
        line = frame_record(result, self._skeleton)
        self._file.write(json.dumps(line, allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the file.

        Raises
        ------
        RtposeError
            If its last lines cannot be written.
        """
        self._file.close()


def frame_record(result: FrameResult, skeleton: Skeleton) -> dict[str, object]:
    """What JSON says of a frame, see `JsonlWriter`.

    Raises
    ------
    ValueError
        If a pose has another number of joints than the skeleton.
    """
    frame = result.frame
    height, width = frame.image.shape[:2]
    return {
        "source": frame.source,
        "frame": frame.index,
        "time_s": round(frame.time_s, 6),
        "unix_s": None if frame.unix_s is None else round(frame.unix_s, 6),
        "width": width,
        "height": height,
        "people": [_person(pose, skeleton.joints) for pose in result.poses],
    }


def _person(pose: Pose, joints: tuple[str, ...]) -> dict[str, object]:
    return {
        "id": pose.id,
        "score": round(float(pose.score), 4),
        "box": [round(v, 2) for v in pose.box.tolist()],
        "joints": {
            name: [round(x, 2), round(y, 2), round(score, 4)]
            for name, (x, y, score) in zip(joints, pose.joints.tolist(), strict=True)
        },
    }
