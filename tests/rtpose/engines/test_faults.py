"""What the libraries' errors mean, however they are wrapped."""

import pytest
import torch

from rtpose.engines.faults import is_out_of_memory, may_be_unsupported

FULL = RuntimeError("CUDA error: out of memory")


def wrapped(cause: BaseException | None, context: BaseException | None, hides: bool) -> Exception:
    error = RuntimeError("something else")
    error.__cause__, error.__context__ = cause, context
    error.__suppress_context__ = hides
    return error


@pytest.mark.parametrize(
    ("error", "yes"),
    [
        (torch.OutOfMemoryError(), True),
        (FULL, True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("FIND was unable to find an engine to execute this computation"), True),
        (RuntimeError("Error Code 2: OutOfMemory (no further information)"), True),
        (RuntimeError("Failed to allocate workspace: cudaErrorMemoryAllocation"), True),
        (
            RuntimeError(
                "Exception from x.cpp:60:\n\nFailed to allocate 396469325024 bytes of memory"
            ),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (MemoryError(), True),
        (RuntimeError("illegal memory access"), False),
        (RuntimeError("unable to find a valid cuDNN library"), False),
        (wrapped(FULL, None, True), True),
        (wrapped(None, FULL, False), True),  # ending a recording that failed fails as well
        (wrapped(None, FULL, True), False),  # raised from None: it has nothing to do with that
        (wrapped(wrapped(None, FULL, False), None, True), True),
    ],
)
def test_out_of_memory_is_seen(error: Exception, yes: bool):
    assert is_out_of_memory(error) == yes


@pytest.mark.parametrize("word", ["Unable", "FIND was unable"])
def test_a_convolution_without_a_way_may_be_for_want_of_cudnn(word: str):
    error = RuntimeError(f"{word} to find an engine to execute this computation")
    assert may_be_unsupported(error) and not may_be_unsupported(FULL)
