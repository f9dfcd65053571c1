"""COCO's own score: average precision by object keypoint similarity, through pycocotools."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpose.bench.inference import Found
from rtpose.datasets.coco import box_of, image_source, keypoint_annotations, keypoints_of
from rtpose.datasets.labels import read_json
from rtpose.errors import RtposeError
from rtpose.skeleton import COCO17, Skeleton

_MEASURES = {"AP": 0, "AP50": 1, "AP75": 2, "AP medium": 3, "AP large": 4, "AR": 5}
"""Places in pycocotools' ``stats``."""

_FAR_AWAY = -1e6
"""Pixels: nobody's joint."""


def check_pycocotools() -> None:
    """Say what to install.

    Raises
    ------
    RtposeError
        If pycocotools is not.
    """
    if importlib.util.find_spec("pycocotools") is None:
        raise RtposeError("COCO's AP needs pycocotools; run: pip install 'rtpose[bench]'")


def average_precision(
    labels: Path, found: Found, skeleton: Skeleton, source: str
) -> dict[str, float]:
    """Score poses against COCO-format labels, in percent.

    Parameters
    ----------
    labels : Path
        COCO-format json or json.gz; its keypoints are taken by name.
    found : Found
        Everybody found in the pictures of `source`.
    skeleton : Skeleton
        Of the found joints.
    source : str
        Of the pictures, as `rtpose.datasets.coco.read_coco` names it.

    Raises
    ------
    RtposeError
        If pycocotools is not installed, or the labels or the network lack one of COCO's joints.
    """
    check_pycocotools()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    data = read_json(labels)
    names, annotations = keypoint_annotations(data)
    for joints, whose in ((names, str(labels)), (skeleton.joints, f"skeleton {skeleton.name}")):
        missing = [joint for joint in COCO17.joints if joint not in joints]
        if missing:
            raise RtposeError(f"{whose}: COCO's AP needs the joints {', '.join(missing)}")
    order = [names.index(joint) for joint in COCO17.joints]
    images = [i for i in data["images"] if image_source(i, labels) == source]
    shown = {image["id"] for image in images}
    truth = [
        _coco17(a, keypoints_of(a, "keypoints", len(names), labels)[order], box_of(a, labels))
        for a in annotations
        if a["image_id"] in shown
    ]
    # pycocotools takes an annotation whose id is 0 for one that nobody found
    truth = [annotation | {"id": i} for i, annotation in enumerate(truth, start=1)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": images, "annotations": truth, "categories": [{"id": 1}]}
        coco.createIndex()
        ids = {image["file_name"]: image["id"] for image in data["images"]}
        results = [r for r in _results(found, ids, skeleton) if r["image_id"] in shown]
        if not results:
            return dict.fromkeys(_MEASURES, 0.0)
        loaded = coco.loadRes(results)
        for result in loaded.dataset["annotations"]:
            result["area"] = _area(result["keypoints"])
        evaluation = COCOeval(coco, loaded, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # it says -1 where nobody is of that size
    found_at = {name: float(evaluation.stats[k]) for name, k in _MEASURES.items()}
    return {name: 100 * value if value >= 0 else math.nan for name, value in found_at.items()}


def _coco17(
    annotation: dict[str, Any],
    points: NDArray[np.float64],
    box: tuple[float, float, float, float],
) -> dict[str, Any]:
    """The same annotation with COCO's 17 keypoints, (17, 3) in COCO's order, and its box.

    As `rtpose.datasets` reads it: no label is what is not a number, and nobody who has no box.
    """
    points = np.where(np.isfinite(points).all(axis=1, keepdims=True), points, 0.0)
    if not (box[2] > 0 and box[3] > 0):
        points = np.zeros((17, 3))
    return {
        "image_id": annotation["image_id"],
        "category_id": 1,
        "iscrowd": annotation.get("iscrowd", 0),
        "bbox": list(box),
        "area": annotation.get("area") or box[2] * box[3],
        "keypoints": points.flatten().tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
    }


def _area(keypoints: list[float]) -> float:
    """Of the joints that were found; pycocotools takes it of all.

    What it holds to be larger than any person does not count there as found in vain.
    """
    points = np.reshape(keypoints, (-1, 3))
    return float(np.prod(np.ptp(points[points[:, 0] != _FAR_AWAY, :2], axis=0)))


def _results(found: Found, ids: dict[str, int], skeleton: Skeleton) -> list[dict[str, Any]]:
    """In the results format; a person's score is the box's times the joints' mean.

    A joint that is not a number was not found. pycocotools would count it as found exactly, so
    such joints go far away, with score 0, and who has no other is left out.
    """
    view = list(skeleton.view(COCO17))
    results = []
    for picture, joints, score in zip(found.pictures, found.joints, found.scores, strict=True):
        # the json may leave out the folders that its pictures lie in
        while picture not in ids and "/" in picture:
            picture = picture.partition("/")[2]
        image = ids.get(picture)
        points = joints[view].astype(float)
        lost = ~np.isfinite(points).all(axis=-1)
        if image is None or lost.all():
            continue
        points[lost] = (_FAR_AWAY, _FAR_AWAY, 0)
        results.append(
            {
                "image_id": image,
                "category_id": 1,
                "keypoints": points.flatten().tolist(),
                "score": float(score * points[:, 2].mean()),
            }
        )
    return results
