"""Converts a shipped network to TensorRT on a machine without a GPU; run by test_conversion.py.

``python tensorrt_without_gpu.py MODEL`` with torch-tensorrt-rtx installed. What PyTorch would ask
a GPU is answered for one, and the engine is built for it: ahead of time, for a named compute
capability, which TensorRT-RTX can. Prints one line of JSON.
"""

import contextlib
import io
import json
import sys

import torch

torch.cuda.get_device_capability = lambda *_: (8, 9)  # type: ignore[assignment]
torch.cuda.current_device = lambda: 0  # type: ignore[assignment]
torch.cuda.mem_get_info = lambda *_: (1 << 34, 1 << 34)  # type: ignore[assignment]
import torch_tensorrt  # noqa: E402, I001
import tensorrt as trt  # noqa: E402
from torch_tensorrt.dynamo.conversion._TRTInterpreter import TRTInterpreter  # noqa: E402

from rtpose.checkpoint import load_checkpoint  # noqa: E402
from rtpose.engines.tensorrt import build  # noqa: E402
from rtpose.heatmaps import HeatmapNetwork  # noqa: E402
from rtpose.shipped import find_weights  # noqa: E402

configure = TRTInterpreter._populate_trt_builder_config


def for_ada(self, *arguments, **named):
    config = configure(self, *arguments, **named)
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    return config


class NotLoaded:
    """An engine in bytes: without a GPU it cannot be loaded to be asked about itself."""

    def __init__(self, serialized: object) -> None:
        self.serialized = serialized

    def serialize(self) -> object:
        return self.serialized

    def get_aliased_input_tensor(self, name: str) -> None:
        return None


class Runtime:
    def __init__(self, logger: object) -> None:
        pass

    def deserialize_cuda_engine(self, serialized: object) -> NotLoaded:
        return NotLoaded(serialized)


def main(model: str) -> None:
    checkpoint = load_checkpoint(find_weights(model))
    network = HeatmapNetwork(checkpoint.network, checkpoint.skeleton.flip).eval().half()
    crops = torch.zeros(2, 3, checkpoint.input_size, checkpoint.input_size).half()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exported = torch.export.export(network, (crops,))
        torch_tensorrt.dynamo.compile(
            exported, arg_inputs=[crops], dryrun=True, min_block_size=1, offload_module_to_cpu=True
        )
    TRTInterpreter._populate_trt_builder_config = for_ada
    trt.Runtime = Runtime
    engine = build(network, crops)
    found = {"dry_run": said.getvalue(), "bytes": len(engine), "tensorrt": trt.__version__}
    print(json.dumps(found))  # noqa: T201


main(sys.argv[1])
