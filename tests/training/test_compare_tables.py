from __future__ import annotations

from dataclasses import replace

from training.compare import Result
from training.compare_tables import markdown


def result(variant: str, seed: int, total: float, loss: float) -> Result:
    joints = dict.fromkeys(
        ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"), total + 1
    )
    return Result(variant, seed, "val", 1_500_000, joints, total, total / 2, [loss + 1, loss])


def test_scores_are_means_over_seeds_and_differences_are_taken_seed_by_seed():
    """Between seeds lie ten points and a whole loss, between networks of one seed far less."""
    results = [
        result("chain", 0, 50.0, 3.0),
        result("chain", 1, 60.0, 4.0),
        result("dense", 0, 51.0, 2.99),
        result("dense", 1, 63.0, 3.97),
        result("dense", 2, 90.0, 1.0),  # chain has no such seed
        result("early", 1, 60.5, 4.1),
    ]
    lines = markdown(results).splitlines()
    assert lines[2] == (
        "| val | chain | 1.500 M | 56.0 | 56.0 | 56.0 | 56.0 | 56.0 | 56.0 | 56.0 | **55.00** "
        "| **27.50** | 4.500, 3.500 |"
    )
    assert lines[-2] == "| val | dense | 2 | +2.00 ± 1.00 | +1.00 ± 0.50 | -0.0200 ± 0.0100 |"
    assert lines[-1] == "| val | early | 1 | +0.50 | +0.25 | +0.1000 |"


def test_a_set_tells_of_those_who_were_scored_on_it():
    """Results of calls with other sets and networks lie in the folder, too."""
    results = [
        replace(result("dense", 0, 51.0, 3.0), split="lsp_test"),
        result("chain", 0, 50.0, 3.0),
        result("dense", 0, 52.0, 3.0),
    ]
    lines = markdown(results).splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:5]] == [
        ["| lsp_test", "dense"],
        ["| val", "chain"],
        ["| val", "dense"],
    ]
