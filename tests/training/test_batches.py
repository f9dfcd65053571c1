from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rtpose.datasets.coco import read_coco
from rtpose.skeleton import BODY21
from training.batches import (
    Batch,
    crops_reader,
    draw_chances,
    make_batch,
    stream_batches,
)
from training.config import TrainConfig, parse
from training.faces import FACE, faceless
from training.store import Store, open_store

CONFIG = parse(
    {
        "network": {"stacks": 2, "channels": 8},
        "phases": [{"size": 64, "images": 8}],
        "batch": 4,
    },
    "tiny",
)


@pytest.fixture(scope="module")
def store(drawn_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    people = read_coco(drawn_people / "train.json.gz", BODY21)
    return open_store(people, drawn_people, tmp_path_factory.mktemp("cache"), 0.5, ())


def batch(store: Store, chances: torch.Tensor, step: int) -> Batch:
    no_face = torch.from_numpy(faceless(store.people, BODY21))
    return make_batch(store, crops_reader(store, "cpu"), chances, no_face, BODY21, CONFIG, step, 64)


def nobody(store: Store) -> torch.Tensor:
    return torch.zeros(len(store), dtype=torch.bool)


def test_the_stream_is_the_numbered_batches(store: Store):
    """A stream that begins at 5 gives what an uninterrupted one has at 5, 6 and 7."""
    chances = draw_chances(store.people.sources, {})
    stream = stream_batches(store, crops_reader(store, "cpu"), BODY21, CONFIG, 5, 64)
    for step in (5, 6, 7):
        there, here = next(stream), batch(store, chances, step)
        assert torch.equal(there.rows, here.rows)
        assert torch.equal(there.pictures, here.pictures)
        torch.testing.assert_close(there.joints, here.joints)


def test_batches_differ(store: Store):
    chances = draw_chances(store.people.sources, {})
    first, second = (batch(store, chances, step) for step in (0, 1))
    assert first.pictures.shape == (4, 3, 64, 64) and first.pictures.dtype == torch.uint8
    assert not torch.equal(first.pictures, second.pictures)


def test_sources_are_drawn_as_weighted(store: Store):
    chances = draw_chances(("a",) * 4 + ("b",) * 4, {"b": 0.0})
    rows = np.concatenate([batch(store, chances, step).rows for step in range(5)])
    assert set(rows) <= set(range(4))


def test_bystanders_come_by_in_parts_as_in_whole_batches(store: Store):
    """Processes that make a batch together make the batch that one alone would make."""
    config = replace(CONFIG, augment=replace(CONFIG.augment, bystander=0.5))
    chances = draw_chances(store.people.sources, {})

    def pictures(config: TrainConfig, part: slice) -> torch.Tensor:
        crops_of = crops_reader(store, "cpu")
        return make_batch(
            store, crops_of, chances, nobody(store), BODY21, config, 0, 64, part
        ).pictures

    whole = pictures(config, slice(None))
    assert torch.equal(whole[::2], pictures(config, slice(0, None, 2)))
    assert torch.equal(whole[1::2], pictures(config, slice(1, None, 2)))
    alone = pictures(CONFIG, slice(None))
    changed = (whole != alone).flatten(1).any(dim=1)
    assert 0 < changed.sum() < len(changed)


def test_faces_not_to_be_seen_are_absent_and_all_else_is_as_before(store: Store):
    chances = draw_chances(store.people.sources, {})
    crops_of = crops_reader(store, "cpu")
    seen, hidden = (
        make_batch(store, crops_of, chances, no_face, BODY21, CONFIG, 0, 64)
        for no_face in (nobody(store), ~nobody(store))
    )
    face = torch.tensor([name in FACE for name in BODY21.joints])
    assert hidden.absent[:, face].all()
    assert torch.equal(hidden.absent[:, ~face], seen.absent[:, ~face])
    assert torch.equal(hidden.pictures, seen.pictures) and torch.equal(hidden.joints, seen.joints)
