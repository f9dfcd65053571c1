"""A figure that was measured several times: its middle, and how far the repeats lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NOISY = 0.15
"""Spread above which a figure is flagged: something else was running, or the machine throttled."""

_TRIFLE_MS = 0.2
"""Milliseconds that nobody minds, however large a part of a short step they are."""


@dataclass(frozen=True)
class Measured:
    """The median of some repeats.

    Attributes
    ----------
    value : float
        The median.
    low, high : float
        The least and the greatest.
    unit : str
        ``ms`` and ``MB`` are better low, ``fps`` and ``%`` better high.
    slowing : bool
        Each repeat was worse than the one before, by more than `NOISY` in the end: what a
        processor does that gets too hot.
    """

    value: float
    low: float
    high: float
    unit: str
    slowing: bool = False

    @property
    def spread(self) -> float:
        """Distance from the least to the greatest, as a part of the median."""
        return (self.high - self.low) / self.value if self.value else 0.0

    @property
    def noisy(self) -> bool:
        """Whether the repeats disagree too much to trust small differences."""
        trifle = self.unit == "ms" and self.high - self.low < _TRIFLE_MS
        return self.spread > NOISY and not trifle


@dataclass(frozen=True)
class Percentiles:
    """Half of all frames take at most `p50`, 95 in 100 at most `p95`."""

    p50: Measured
    p95: Measured


def measured(repeats: Sequence[float], unit: str) -> Measured:
    """Put repeats, in the order they were made, into one figure.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not len(repeats):
        raise ValueError("no repeats to take the median of")
    values = np.asarray(repeats, float)
    worse = values[1:] - values[:-1] if unit == "ms" else values[:-1] - values[1:]
    middle = float(np.median(values))
    slowing = len(values) > 2 and bool((worse > 0).all()) and worse.sum() > NOISY * middle
    return Measured(middle, float(values.min()), float(values.max()), unit, bool(slowing))
