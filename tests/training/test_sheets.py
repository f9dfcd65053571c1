from pathlib import Path

import numpy as np

from rtpose.bench.accuracy import Scored
from rtpose.datasets.coco import read_coco
from rtpose.skeleton import BODY21
from training.sheets import predictions_sheet


def test_unsure_skeletons_are_drawn_too(drawn_people: Path):
    """A network that learned by squared error gives 0.014 to joints that are exactly right."""
    people = read_coco(drawn_people / "val.json.gz", BODY21)
    sheets = [
        predictions_sheet(
            Scored(np.insert(people.joints, 2, score, axis=-1), people),
            drawn_people, BODY21, [0, 1],
        )
        for score in (0.014, np.nan)
    ]  # fmt: skip
    assert sheets[0].shape == (256, 2048, 3)
    drawn = (sheets[0] != sheets[1]).any(axis=-1)
    assert drawn[:, :256].mean() > 0.02 and drawn[:, 256:512].mean() > 0.02
