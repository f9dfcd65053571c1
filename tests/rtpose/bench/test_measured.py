import pytest

from rtpose.bench.measured import Measured, measured


def test_the_middle_and_the_ends():
    m = measured([3.0, 1.0, 2.0], "ms")
    assert (m.value, m.low, m.high, m.unit) == (2.0, 1.0, 3.0, "ms")
    assert m.spread == 1.0 and m.noisy and not m.slowing


def test_what_is_noisy():
    assert not Measured(100, 95, 105, "fps").noisy
    assert Measured(100, 90, 110, "fps").noisy
    # a tenth of a millisecond more of almost nothing is no noise
    assert not Measured(0.1, 0.1, 0.2, "ms").noisy


@pytest.mark.parametrize(
    ("repeats", "unit", "slowing"),
    [
        ([10, 11, 12, 13], "ms", True),
        ([13, 12, 11, 10], "ms", False),
        ([13, 12, 11, 10], "fps", True),
        ([10, 11, 10.5, 13], "ms", False),
        ([10, 10.1, 10.2], "ms", False),
        ([10, 20], "ms", False),
    ],
)
def test_only_a_steady_fall_is_called_slowing(repeats, unit, slowing):
    assert measured(repeats, unit).slowing == slowing


def test_nothing_measured_is_an_error():
    with pytest.raises(ValueError, match="no repeats"):
        measured([], "ms")
