"""What the libraries' errors mean."""

from __future__ import annotations

from collections.abc import Iterator

import torch

_SAID = ("out of memory", "alloc_failed", "allocation_failed", "outofmemory",
         "cudaerrormemoryallocation", "failed to allocate", "can't allocate memory")  # fmt: skip
"""Of the driver, cuBLAS and cuDNN 8, cuDNN 9, TensorRT, the CUDA runtime, OpenVINO, and PyTorch on
CPUs, in lower case."""

_NO_ENGINE = "unable to find an engine to execute this computation"
"""PyTorch's last word on a convolution, when it has passed over all of cuDNN's ways that found no
room, without a word on why; and on one that cuDNN has no way for."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in whichever words: only PyTorch's allocator has a type for it.

    cuDNN, cuBLAS and the driver say it in a RuntimeError, and torch-tensorrt wraps what it caught.
    A convolution that cuDNN finds no way for counts, too: mostly it is that.
    """
    return any(
        isinstance(cause, MemoryError | torch.OutOfMemoryError)
        or any(words in str(cause).lower() for words in (*_SAID, _NO_ENGINE))
        for cause in _causes(error)
    )


def may_be_unsupported(error: BaseException) -> bool:
    """Whether what `is_out_of_memory` takes for lack of memory may be a lack of cuDNN."""
    return any(_NO_ENGINE in str(cause).lower() for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        # without a cause, what it was raised in the middle of: ending a recording that failed
        # fails as well, and hides why
        hidden = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or hidden
