import gc
import logging
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rtpose.engines.batches import BUCKETS, Batches, bucket_for, pad
from rtpose.errors import RtposeError


class Device:
    """A network that doubles, on a device that holds so many crops."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(crops))
        if bucket_for(len(crops)) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return crops * 2


def batches(device: Device) -> Batches:
    return Batches(device, lambda: torch.zeros(0, 1))


def numbers(count: int) -> torch.Tensor:
    return torch.arange(float(count))[:, None]


@given(st.integers(1, BUCKETS[-1]))
def test_bucket_is_the_smallest_that_holds(count: int):
    size = bucket_for(count)
    assert size in BUCKETS and size >= count
    assert all(smaller < count for smaller in BUCKETS if smaller < size)


def test_padding_is_added_behind():
    crops = torch.ones(3, 1, 2, 2)
    padded = pad(crops, 4)
    assert torch.equal(padded[:3], crops) and not padded[3:].any()
    assert padded.dtype == crops.dtype
    assert pad(crops, 3) is crops


@given(st.integers(0, 150), st.sampled_from(BUCKETS))
def test_every_crop_is_answered_in_order_whatever_the_memory(count: int, room: int):
    device = Device(room)
    answers = batches(device)(numbers(count))
    assert torch.equal(answers, numbers(count) * 2)


def test_nobody_launches_nothing():
    device = Device(32)
    assert batches(device)(numbers(0)).shape == (0, 1)
    assert device.tried == []


def test_a_crowd_goes_through_in_parts():
    device = Device(32)
    batches(device)(numbers(70))
    assert device.tried == [32, 32, 6]


def test_out_of_memory_halves_says_so_and_remembers(caplog: pytest.LogCaptureFixture):
    device = Device(8)
    run = batches(device)
    with caplog.at_level(logging.WARNING):
        run(numbers(20))
    assert device.tried == [20, 16, 8, 8, 4]
    assert [r.getMessage() for r in caplog.records] == [
        "out of GPU memory with 32 people at once: going on with 16",
        "out of GPU memory with 16 people at once: going on with 8",
    ]
    device.tried.clear()
    run(numbers(9))
    assert device.tried == [8, 1]


@pytest.mark.parametrize(
    "said",
    ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"],
)
def test_libraries_run_out_of_memory_in_words_of_their_own(said: str):
    tried: list[int] = []

    def run(crops: torch.Tensor) -> torch.Tensor:
        tried.append(len(crops))
        if len(crops) > 2:
            raise RuntimeError("While interpreting the module") from RuntimeError(said)
        return crops

    assert len(Batches(run, lambda: torch.zeros(0, 1))(numbers(4))) == 4
    assert tried == [4, 2, 2]


def test_other_errors_are_not_taken_for_lack_of_memory():
    def run(crops: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("TensorRT could not launch the engine")

    with pytest.raises(RuntimeError, match="could not launch"):
        Batches(run, lambda: torch.zeros(0, 1))(numbers(4))


def test_memory_is_given_back_after_the_failed_attempt_let_go_of_it(
    monkeypatch: pytest.MonkeyPatch,
):
    attempts: list[weakref.ref[torch.Tensor]] = []
    left: list[bool] = []

    def run(crops: torch.Tensor) -> torch.Tensor:
        held = crops * 2
        if len(crops) > 2:
            attempts.append(weakref.ref(held))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return held

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: left.append(attempts[-1]() is not None))
    gc.disable()
    try:
        Batches(run, lambda: torch.zeros(0, 1))(numbers(4))
    finally:
        gc.enable()
    assert left == [False]


def test_no_memory_for_a_single_person_is_one_clear_error():
    device = Device(0)
    with pytest.raises(RtposeError, match="too little free memory for a single person") as error:
        batches(device)(numbers(5))
    assert device.tried == [5, 4, 2, 1]
    assert "\n" not in str(error.value) and "cuDNN" not in str(error.value)


def test_a_single_person_that_cudnn_finds_no_way_for_may_be_another_lack():
    def run(crops: torch.Tensor) -> torch.Tensor:
        tried.append(len(crops))
        raise RuntimeError("FIND was unable to find an engine to execute this computation")

    tried: list[int] = []
    with pytest.raises(RtposeError, match=r"too little free memory .* or this PyTorch's cuDNN"):
        Batches(run, lambda: torch.zeros(0, 1))(numbers(2))
    assert tried == [2, 1]
