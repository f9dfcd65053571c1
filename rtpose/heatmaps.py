"""Crops to heatmaps: the network, its softmax and the flip test, one definition for all engines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rtpose.network import DCHourglass


class HeatmapNetwork(nn.Module):
    """What every engine runs.

    Parameters
    ----------
    network : DCHourglass
        In evaluation mode; may be halved with the whole module.
    flip : sequence of int, optional
        The skeleton's mirror order: also run every crop's mirror image and average, more exact
        and twice the work. None runs the crops alone.
    """

    mirror_order: Tensor | None

    def __init__(self, network: DCHourglass, flip: Sequence[int] | None = None) -> None:
        super().__init__()
        self.network = network
        # a buffer, so that it is on the network's device: a copy from the host within a forward
        # pass could not be captured in a CUDA graph
        self.register_buffer("mirror_order", None if flip is None else torch.tensor(flip))

    def forward(self, crops: Tensor) -> Tensor:
        """Heatmaps of crops.

        Parameters
        ----------
        crops : (N, 3, S, S) uint8 or float, RGB, 0 to 255

        Returns
        -------
        (N, K, S/4, S/4) float32
            Every map sums to one.
        """
        return self.finish(self.logits(crops))

    def logits(self, crops: Tensor) -> Tensor:
        """The part that may be computed in few bits: (N or, with flip test, 2N, K, S/4, S/4)."""
        if self.mirror_order is not None:
            crops = torch.cat([crops, crops.flip(-1)])
        return self.network.every_stack(crops)[-1]

    def finish(self, logits: Tensor) -> Tensor:
        """The part that is float32 in every engine.

        Probabilities of neighbouring cells, whose comparison says where between them a joint is,
        are too close for the 8 bits of bfloat16.
        """
        heatmaps = logits.float().flatten(2).softmax(dim=-1).view_as(logits)
        if self.mirror_order is None:
            return heatmaps
        # not chunk, which ONNX's converter cannot read where the number of crops is open
        both = heatmaps.view(2, -1, *heatmaps.shape[1:])
        return merge_flipped(both[0], both[1], self.mirror_order)


def merge_flipped(heatmaps: Tensor, of_flipped: Tensor, flip: Sequence[int] | Tensor) -> Tensor:
    """Mean of the heatmaps of crops and those of their mirror images.

    Parameters
    ----------
    heatmaps, of_flipped : (N, K, H, W)
    flip : sequence of int or (K,) int64
        The skeleton's mirror order: what the mirrored network calls left is right.
    """
    order = torch.as_tensor(flip, device=heatmaps.device)
    # cell h stands for crop pixels 4h to 4h + 3, so mirroring cells mirrors pixels exactly and
    # the one-cell shift that other code bases need has no place here
    return (heatmaps + of_flipped[:, order].flip(-1)) / 2
