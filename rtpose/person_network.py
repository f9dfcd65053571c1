"""A person network on this machine: what computes it, in which precision, and how.

On CPUs the quickest precision in which the people found are those of float32, timed and compared
once (`rtpose.cpu_precision`, `rtpose.same_people`); on GPUs float16, compared at every start.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtpose import same_people
from rtpose.cache import network_hash
from rtpose.cpu_precision import (
    EIGHT_BITS,
    ask_once,
    check_precision,
    possible_precisions,
    quickest_that_agrees,
    time_precisions,
)
from rtpose.cuda_graph import CudaGraph
from rtpose.detections import OVERLAP, read_detections, to_input
from rtpose.errors import RtposeError, first_line
from rtpose.letterbox import plan_letterbox
from rtpose.on_device import own_stream
from rtpose.openvino_model import compile_for_cpu, convert
from rtpose.photographs import photographed_people
from rtpose.pose import Detections
from rtpose.quantised import Range, quantise
from rtpose.same_people import Agreement, compare_people
from rtpose.yolo import PersonNetwork

log = logging.getLogger(__name__)

_MOST_GRAPHS = 4
"""Shapes of pictures whose detection is recorded on a GPU."""

_CHECKED_AT = 416
"""Longer side at which precisions are compared: the shipped detector's own. How numbers are rounded
does not depend on it."""

_VERDICT = "agreement.json"

Predict = Callable[[Tensor], Tensor]
"""Pictures (B, H, W, 3) uint8 BGR to raw predictions (B, 65, A); see `PersonNetwork`."""


def on_torch(network: nn.Module, device: str, precision: str | None) -> tuple[Predict, str]:
    """Run by PyTorch; and the precision, where none is named fp16 on CUDA and fp32 elsewhere.

    Raises
    ------
    RtposeError
        If the precision is unknown.
    """
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    on_gpu = device.startswith("cuda")
    chosen = precision or "fp32"
    if chosen not in types:
        raise RtposeError(f"unknown precision {chosen}: choose one of {', '.join(types)}")
    # as its input lies in memory: else every convolution would turn its weights round first
    network.to(device, types[chosen], memory_format=torch.channels_last)  # type: ignore[call-overload]
    if on_gpu and precision is None:
        network, chosen = _half_if_it_agrees(network, device)
    return (_recorded(network, device) if on_gpu else network), chosen


def _half_if_it_agrees(network: nn.Module, device: str) -> tuple[nn.Module, str]:
    """The network in fp16, or as it is where the people found are others.

    With some cuDNNs a GeForce GTX 16 gives NaN for fp16 (pytorch/pytorch#77955), which would be
    nobody in every picture.
    """
    half = copy.deepcopy(network).half()
    found = _compare(network, half, device)
    if found.holds:
        return half, "fp16"
    log.warning(
        "detector: in fp16 the people found are not those of fp32 (%s): using fp32, which is "
        "slower",
        found,
    )
    return network, "fp32"


def _recorded(network: Predict, device: str) -> Predict:
    """The network with its two hundred launches made one: else the host would hold up the GPU.

    A video has pictures of one shape; of the many that a folder of photographs has, all but the
    first few run as they are. So do all where recording fails.
    """
    graphs: dict[tuple[int, ...], CudaGraph] = {}
    most = _MOST_GRAPHS
    pool = torch.cuda.graph_pool_handle()

    def predict(pictures: Tensor) -> Tensor:
        nonlocal most
        shape = tuple(pictures.shape)
        if shape not in graphs:
            if len(graphs) >= most:
                return network(pictures)
            try:
                with torch.cuda.device(device):
                    graphs[shape] = CudaGraph(network, pictures, pool)
            except RuntimeError as error:
                # also for lack of memory: without a recording less is needed, and where that is
                # still too much the network itself says so
                log.warning(
                    "detector: its work cannot be recorded as a CUDA graph (%s). Going on without, "
                    "which is slower",
                    first_line(error),
                )
                graphs.clear()
                most = 0
        # out of the except block: the error holds what the failed attempt had allocated
        if shape not in graphs:
            return network(pictures)
        return graphs[shape](pictures)

    return predict


def on_openvino(
    model: nn.Module, ranges: Mapping[str, Range], precision: str | None, threads: int | None
) -> tuple[Predict, str]:
    """Run by OpenVINO on the CPU; and the precision, chosen where none is named.

    Raises
    ------
    RtposeError
        If the precision is unknown, or takes ranges that were never measured.
    """
    rounded, exact = (PersonNetwork(m).eval() for m in (quantise(model, ranges), model))

    def graph_in(precision: str) -> Any:
        example = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
        return convert(rounded if precision in EIGHT_BITS else exact, example, (-1, -1, -1, 3))

    def predict_in(precision: str) -> Predict:
        graph = graph_in(precision)
        requests: dict[tuple[int, ...], Any] = {}

        def predict(pictures: Tensor) -> Tensor:
            shape = tuple(pictures.shape)
            if shape not in requests:
                # a video has only one
                requests[shape] = compile_for_cpu(graph, precision, shape=shape, threads=threads)
            return torch.from_numpy(requests[shape].infer([pictures.numpy()])[0])

        return predict

    if precision is None:
        precision = _quickest(network_hash(rounded), bool(ranges), graph_in, predict_in)
    check_precision(precision)
    if precision in EIGHT_BITS and not ranges:
        raise RtposeError(
            "this detector's inputs were never measured for int8: run python -m training quantise"
        )
    return predict_in(precision), precision


def _quickest(
    network: str,
    measured: bool,
    graph_in: Callable[[str], Any],
    predict_in: Callable[[str], Predict],
) -> str:
    """The quickest precision in which the people are those of float32."""
    possible = possible_precisions(measured=measured)
    if len(possible) == 1:
        return possible[0]
    pixels = np.zeros((1, 320, 320, 3), np.uint8)

    def compile_in(precision: str) -> Any:
        return compile_for_cpu(graph_in(precision), precision, shape=pixels.shape)

    seconds = time_precisions(network, possible, compile_in, pixels)
    return quickest_that_agrees(
        seconds,
        "detector",
        "the people found",
        lambda precision: _agreement(network, precision, predict_in),
    )


def _agreement(network: str, precision: str, predict_in: Callable[[str], Predict]) -> Agreement:
    """How the people found compare with float32's; asked once for this network and processor."""
    question = {
        "agreement": precision,
        "recipe": same_people.RECIPE,
        "network": network,
        "size": str(_CHECKED_AT),
    }
    return ask_once(
        Agreement, _VERDICT, question, lambda: _compare(predict_in("fp32"), predict_in(precision))
    )


@torch.inference_mode()
def _compare(exact: Predict, other: Predict, device: str = "cpu") -> Agreement:
    """Ask both about photographs of people."""
    found: tuple[list[Detections], list[Detections]] = [], []
    finite = True
    # who scores SURE with one may score so much lower with the other, and is found all the same
    least = same_people.SURE - same_people.MOST_APART
    for image, _ in photographed_people():
        height, width = image.shape[:2]
        plan = plan_letterbox(height, width, _CHECKED_AT)
        with own_stream(device):
            pictures = to_input(image, plan, device)
            for predict, people in zip((exact, other), found, strict=True):
                (raw,) = predict(pictures)
                finite = finite and bool(torch.isfinite(raw).all())
                people.append(read_detections(raw, plan, least, OVERLAP))
    return compare_people(*found, finite=finite)
