"""The loss of every stack on people whom a network did not learn from.

It tells networks apart that PCK does not: a joint is right or wrong there, while here every one of
them says how sure the network was of the truth.
"""

from __future__ import annotations

import torch

from rtpose.network import DCHourglass
from rtpose.skeleton import Skeleton
from training.augment import augment
from training.batches import crops_reader
from training.config import STILL, TrainConfig
from training.losses import supervised_loss, target_maps
from training.store import Store

_AT_ONCE = 100
"""People in a batch."""


@torch.inference_mode()
def stack_losses(
    network: DCHourglass, store: Store, skeleton: Skeleton, config: TrainConfig, size: int
) -> list[float]:
    """Mean over the labelled joints of the config's loss, of the first stack to the last.

    Parameters
    ----------
    network : DCHourglass
        In evaluation mode, on the device that shall compute.
    store : Store
        The people, cut out; they are shown as they are.
    skeleton : Skeleton
    config : TrainConfig
        Whose loss and width of the targets count.
    size : int
        Side of the crops in pixels.
    """
    device = str(network.mean.device)
    crops_of = crops_reader(store, device)
    flip = torch.tensor(skeleton.flip, device=device)
    sums = torch.zeros(network.architecture.stacks)
    known = 0.0
    for rows in torch.split(torch.arange(len(store)), _AT_ONCE):
        joints, weights = (
            torch.from_numpy(table[rows.numpy()]).to(device)
            for table in (store.joints, store.weights)
        )
        still = torch.Generator(device)  # nothing hangs on it
        pictures, joints, weights, absent = augment(
            crops_of(rows), joints, weights, flip, size, STILL, still
        )
        stacks = network.every_stack(pictures.contiguous(memory_format=torch.channels_last))
        targets = target_maps(joints, absent, stacks[0].shape[-1], config.sigma, config.loss)
        joints_here = weights.sum().item()
        known += joints_here
        for number, logits in enumerate(stacks):
            mean = supervised_loss([logits], targets, weights, config.loss)
            sums[number] += mean.cpu() * joints_here
    return (sums / max(known, 1e-6)).tolist()
