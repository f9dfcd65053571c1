"""What the libraries' errors mean, and one line of what they say."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in whichever words: only PyTorch's allocator has a type for it.

    cuDNN, cuBLAS and the driver say it in a RuntimeError, and torch-tensorrt wraps what it caught.
    """
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause)
        if isinstance(cause, torch.OutOfMemoryError):
            return True
        if "out of memory" in said.lower() or "ALLOC_FAILED" in said:
            return True
        cause = cause.__cause__
    return False


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type's name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
