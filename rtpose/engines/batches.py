"""Any number of people through networks that take a few fixed numbers of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from rtpose.engines.faults import is_out_of_memory, may_be_unsupported
from rtpose.errors import RtposeError

log = logging.getLogger(__name__)

BUCKETS = (1, 2, 4, 8, 16, 32)
"""Batch sizes that engines of fixed shape are made for; between two, the larger is padded."""


def bucket_for(count: int) -> int:
    """The smallest of `BUCKETS` that holds `count` crops, 1 to the largest."""
    return next(size for size in BUCKETS if size >= count)


def pad(crops: Tensor, size: int) -> Tensor:
    """Black crops added up to `size`; what comes of them is thrown away."""
    if len(crops) == size:
        return crops
    return torch.cat([crops, crops.new_zeros(size - len(crops), *crops.shape[1:])])


class Batches:
    """Splits crops into parts that fit the largest bucket and the device's memory.

    Where memory runs out the largest part is halved, for good, and the same crops are tried
    again. Not to be called from two threads at once.

    Parameters
    ----------
    run : callable
        1 to `BUCKETS[-1]` crops to their heatmaps.
    empty : callable
        Heatmaps of no crops: with nobody in the picture nothing is launched.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], empty: Callable[[], Tensor]) -> None:
        self._run = run
        self._empty = empty
        self.largest = BUCKETS[-1]

    def __call__(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) crops, N may be 0, to (N, K, S/4, S/4) heatmaps.

        Raises
        ------
        RtposeError
            If memory does not suffice for a single crop.
        """
        parts: list[Tensor] = []
        done = 0
        while done < len(crops):
            part = crops[done : done + self.largest]
            try:
                parts.append(self._run(part))
                done += len(part)
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    other = (
                        ", or this PyTorch's cuDNN cannot compute the network on it (rtpose "
                        "doctor shows versions)" if may_be_unsupported(error) else ""
                    )  # fmt: skip
                    raise RtposeError(
                        f"the GPU has too little free memory for a single person{other}: close "
                        "other programs that use it, or use a smaller --model or --device cpu"
                    ) from error
            # out of the except block: the error holds what the failed attempt had allocated
            self._halve(bucket_for(len(part)))
        if not parts:
            return self._empty()
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _halve(self, tried: int) -> None:
        self.largest = tried // 2
        torch.cuda.empty_cache()
        log.warning("out of GPU memory with %d people at once: going on with %d", tried, tried // 2)
