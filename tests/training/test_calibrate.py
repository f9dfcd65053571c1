import numpy as np
import pytest
import torch

from rtpose.checkpoint import Calibration
from training.calibrate import calibration_error, fit_calibration


def outcomes(slope: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and rights and wrongs that follow a known law of them."""
    random = np.random.default_rng(0)
    scores = random.uniform(0.01, 0.99, 20_000).astype(np.float32)
    logit = np.log(scores / (1 - scores))
    chance = 1 / (1 + np.exp(-(slope * logit + offset)))
    return scores, (random.uniform(size=scores.shape) < chance).astype(np.float32)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (2.0, 1.0), (0.5, -1.0)])
def test_the_law_is_found(slope: float, offset: float):
    scores, right = outcomes(slope, offset)
    fitted = fit_calibration(scores, right)
    assert fitted.slope == pytest.approx(slope, abs=0.1)
    assert fitted.offset == pytest.approx(offset, abs=0.1)
    chances = fitted(torch.from_numpy(scores)).numpy()
    assert calibration_error(chances, right) < 0.015


@pytest.mark.parametrize("right", [[1] * 10, [0] * 10, [0, *[1] * 9]])
def test_a_dozen_joints_do_not_decide_over_everybody(right: list[int]):
    """Of one person held back: all right, all wrong, only the surest wrong."""
    scores = np.linspace(0.95, 0.3, len(right), dtype=np.float32)
    before = Calibration(1.3, 0.3)
    fitted = fit_calibration(scores, np.array(right, np.float32), before)
    low, middle, high = fitted(torch.tensor([0.05, 0.5, 0.95])).tolist()
    assert low < 0.2 < middle < 0.8 < high


def test_error_of_empty_promises():
    always = np.full(1000, 0.9, np.float32)
    half = np.tile([0.0, 1.0], 500).astype(np.float32)
    assert calibration_error(always, half) == pytest.approx(0.4, abs=1e-3)
