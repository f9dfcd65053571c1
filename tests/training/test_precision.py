from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from training import precision
from training.precision import mixed_precision, quick_dtype


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    quick_dtype.cache_clear()
    yield
    quick_dtype.cache_clear()


@pytest.mark.parametrize(
    ("openvino_has", "torch_has", "dtype"),
    [
        (("FP32", "BF16"), "AVX512", torch.bfloat16),
        (("FP32",), "AVX512", torch.float32),
        (("FP32", "BF16"), "AVX2", torch.float32),
        (("FP32", "BF16"), "SVE256", torch.bfloat16),
    ],
)
def test_bfloat16_only_where_the_cpu_computes_in_it(
    monkeypatch: pytest.MonkeyPatch,
    openvino_has: tuple[str, ...],
    torch_has: str,
    dtype: torch.dtype,
):
    monkeypatch.setattr(precision, "capabilities", lambda: openvino_has)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: torch_has)
    assert quick_dtype("cpu") is dtype
    with mixed_precision("cpu"):
        assert torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3)).dtype is dtype


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_only_gpus_that_compute_in_it_have_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
):
    """Before Ampere PyTorch emulates it: its convolutions are not cuDNN's."""

    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert quick_dtype("cuda") is dtype
