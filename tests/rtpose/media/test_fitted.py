import numpy as np
import pytest

from rtpose.media.fitted import fitted


@pytest.mark.parametrize("size", [(64, 48), (100, 20), (20, 100), (1, 1)])
def test_fitted_keeps_proportions(size: tuple[int, int]):
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    canvas = fitted(image, (64, 48))
    assert canvas.shape == (48, 64, 3)
    rows, columns = np.nonzero(canvas[..., 0])
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert width == 64 or height == 48
    scale = min(64 / size[0], 48 / size[1])
    assert abs(width - size[0] * scale) <= 1 and abs(height - size[1] * scale) <= 1
