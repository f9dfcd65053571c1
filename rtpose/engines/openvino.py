"""OpenVINO: the fastest way to run the network on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtpose.cache import network_hash
from rtpose.checkpoint import Checkpoint
from rtpose.cpu_precision import (
    EIGHT_BITS,
    ask_once,
    check_precision,
    possible_precisions,
    quickest_that_agrees,
    time_precisions,
)
from rtpose.engines import parity
from rtpose.engines.base import no_heatmaps
from rtpose.engines.batches import Batches
from rtpose.engines.eager import EagerEngine
from rtpose.engines.parity import Parity
from rtpose.errors import RtposeError
from rtpose.heatmaps import HeatmapNetwork
from rtpose.openvino_model import compile_for_cpu, convert
from rtpose.quantised import quantise

FEW = 2
"""Crops that the threads for few take one after the other.

Beside the detector, drawing and encoding this is as quick as all cores would be, or quicker, and
cheaper; with three and more people it is slower.
"""

_VERDICT = "parity.json"


class OpenVinoEngine:
    """OpenVINO on the CPU, in the precision that is quickest there.

    Another than float32 is used as long as the answers stay those of the eager network; the first
    time that is checked. With `threads_for_few`, one or two crops are computed by so many
    threads, one after the other; more, and all without it, by one for every core. The softmax over
    the heatmaps is left out of the graph, see `HeatmapNetwork.finish`.

    Raises
    ------
    RtposeError
        If a precision is named that does not exist, or eight bits of a network whose peaks nobody
        measured.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: str | None = None,
        flip_test: bool = False,
        threads_for_few: int | None = None,
    ) -> None:
        self.input_size = checkpoint.input_size
        self._checkpoint = checkpoint
        self._flip_test = flip_test
        self._threads_for_few = threads_for_few
        self._few = 1 if threads_for_few is None else FEW
        self._finish = self._network("fp32").finish
        self._batches = Batches(self._run, lambda: no_heatmaps(checkpoint, "cpu"))
        if precision is None:
            self._use_quickest()
        else:
            check_precision(precision)
            self._use(precision, self._network(precision))

    def _use_quickest(self) -> None:
        names = possible_precisions(measured=bool(self._checkpoint.peaks))
        networks = {name: self._network(name) for name in names}
        pixels = np.zeros((1, 3, self.input_size, self.input_size), np.uint8)

        def compile_in(name: str) -> Any:
            return compile_for_cpu(self._graph(networks[name]), name, shape=pixels.shape)

        seconds = time_precisions(network_hash(networks[names[-1]]), names, compile_in, pixels)

        def compare(name: str) -> Parity:
            self._use(name, networks[name])
            return self._parity(networks[name])

        if quickest_that_agrees(seconds, "openvino", "the answers", compare) == "fp32":
            self._use("fp32", networks["fp32"])

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        return self._batches(crops)

    def warm_up(self) -> None:
        """One crop through the network."""
        self(torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8))

    def _network(self, precision: str) -> HeatmapNetwork:
        """The network as it is computed in a precision, on which its hash depends."""
        network = self._checkpoint.network
        if precision in EIGHT_BITS:
            if not self._checkpoint.peaks:
                raise RtposeError(
                    "this network's inputs were never measured for int8: run python -m training "
                    "calibrate on it"
                )
            ranges = {name: (0.0, peak) for name, peak in self._checkpoint.peaks.items()}
            network = quantise(network, ranges)
        flip = self._checkpoint.skeleton.flip if self._flip_test else None
        return HeatmapNetwork(network, flip).eval()

    def _graph(self, network: HeatmapNetwork) -> Any:
        side = self.input_size
        example = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        return convert(_Logits(network).eval(), example, (-1, 3, side, side))

    def _use(self, precision: str, network: HeatmapNetwork) -> None:
        self.precision = precision
        graph = self._graph(network)
        one = (1, 3, self.input_size, self.input_size)
        self._for_any = compile_for_cpu(graph, precision)
        self._for_one = compile_for_cpu(graph, precision, shape=one, threads=self._threads_for_few)

    def _run(self, crops: Tensor) -> Tensor:
        pixels = np.ascontiguousarray(crops.cpu().numpy())
        if len(pixels) <= self._few:
            # what a request answers lies where its next answer will
            parts = [self._for_one.infer([one[None]])[0].copy() for one in pixels]
        else:
            parts = [self._for_any.infer([pixels])[0]]
        return self._finish(torch.from_numpy(np.concatenate(parts)))

    def _parity(self, network: HeatmapNetwork) -> Parity:
        """How the answers compare with eager's; asked once for this network and processor."""
        question = {
            "parity": self.precision,
            "recipe": parity.RECIPE,
            "network": network_hash(network),
            "size": str(self.input_size),
        }

        def ask() -> Parity:
            reference = EagerEngine(self._checkpoint, "cpu", self._flip_test)
            return parity.check(reference, self, self.input_size)

        return ask_once(Parity, _VERDICT, question, ask)


class _Logits(nn.Module):
    """The part of the network that is in the graph."""

    def __init__(self, network: HeatmapNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        return self.network.logits(crops)
