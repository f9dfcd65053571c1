"""Showing pictures at the pace of their own times, where they come in bursts or all at once."""

from __future__ import annotations

import time

GAP_S = 1.0
"""Nobody watches a standing picture for a longer gap in the times than this; it is skipped."""


class Pace:
    """Waits until a picture's time has come.

    Times that jump, on by more than can be waited for or back by as much, begin anew. Who is late
    does not wait, and so catches up.

    Parameters
    ----------
    patience_s : float
        Who is later than this does not catch up, but goes on from here at the same pace: of a
        stored picture nothing is missed. Infinite for what is live, which would stay that much
        older for ever.
    gap_s : float
        Longest gap in the times that is waited for.
    """

    def __init__(self, patience_s: float, gap_s: float = GAP_S) -> None:
        self._patience_s = patience_s
        self._gap_s = gap_s
        self._offset_s = 0.0
        self._last_s: float | None = None

    def wait_for(self, time_s: float) -> None:
        """Wait for a picture's time; each picture's, in order."""
        now_s = time.monotonic()
        wait_s = time_s + self._offset_s - now_s
        is_back = self._last_s is None or time_s < self._last_s - self._gap_s
        # after the picture before was waited for, only a gap after it can be a long wait
        if is_back or wait_s > self._gap_s or wait_s < -self._patience_s:
            self._offset_s = now_s - time_s
        elif wait_s > 0:
            time.sleep(wait_s)
        self._last_s = time_s
