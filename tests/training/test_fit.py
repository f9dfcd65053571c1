from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21
from training.config import DataConfig
from training.fit import check_sources, measured_sources


@pytest.fixture()
def people(drawn_people: Path) -> People:
    """Four of one source and four of another."""
    read = read_coco(drawn_people / "val.json.gz", BODY21)
    return replace(read, sources=("street",) * 4 + ("studio",) * 4)


def test_sources_that_nobody_is_of_are_said(people: People, caplog: pytest.LogCaptureFixture):
    check_sources(DataConfig({"street": 2.0}, disputed=("studio",)), people)
    assert not caplog.messages
    check_sources(DataConfig({"stret": 2.0}, disputed=("studios",)), people)
    assert [m.partition("is of ")[2] for m in caplog.messages] == [
        "'stret'; nearest: 'street'", "'studios'; nearest: 'studio'"
    ]  # fmt: skip


def test_nobody_to_draw(people: People):
    check_sources(DataConfig({"street": 0.0}), people)
    with pytest.raises(
        RtposeError, match=r"all of the people's sources \(street, studio\) weigh 0"
    ):
        check_sources(DataConfig({"street": 0.0, "studio": 0.0}), people)


def test_who_can_be_scored_is_known_before_training(people: People):
    """PCK is measured in the torso: of people without one, nothing can be said."""
    assert measured_sources(people, BODY21) == ["street", "studio"]
    hip, labelled = BODY21.index["left_hip"], people.labelled.copy()
    labelled[:4, hip] = False
    assert measured_sources(replace(people, labelled=labelled), BODY21) == ["studio"]
    labelled[:, hip] = False
    with pytest.raises(RtposeError, match="nobody to choose weights by"):
        measured_sources(replace(people, labelled=np.array(labelled)), BODY21)
