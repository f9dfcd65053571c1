import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.margin import widened
from rtpose.geometry import crop_squares


@given(
    arrays(np.float32, (3, 2), elements=st.floats(-500, 500, width=32)),
    arrays(np.float32, (3, 2), elements=st.floats(1, 500, width=32)),
    st.floats(1, 2),
)
def test_boxes_lead_to_the_crops_of_another_margin(
    corners: np.ndarray, sizes: np.ndarray, margin: float
):
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    np.testing.assert_allclose(
        crop_squares(widened(boxes, margin)), crop_squares(boxes, margin), rtol=1e-4, atol=1e-2
    )
