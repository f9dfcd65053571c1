import numpy as np
import pytest
import torch

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


def test_error_of_empty_promises():
    always = np.full(1000, 0.9, np.float32)
    half = np.tile([0.0, 1.0], 500).astype(np.float32)
    assert calibration_error(always, half) == pytest.approx(0.4, abs=1e-3)
