"""What the libraries' errors mean."""

from __future__ import annotations

import torch


_SAID = ("out of memory", "alloc_failed", "outofmemory", "cudaerrormemoryallocation")
"""Of the driver, cuBLAS and cuDNN, TensorRT, and the CUDA runtime, in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in whichever words: only PyTorch's allocator has a type for it.

    cuDNN, cuBLAS and the driver say it in a RuntimeError, and torch-tensorrt wraps what it caught.
    """
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause).lower()
        if isinstance(cause, torch.OutOfMemoryError) or any(words in said for words in _SAID):
            return True
        # without a cause, what it was raised in the middle of: ending a recording that failed
        # fails as well, and hides why
        hidden = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or hidden
    return False
