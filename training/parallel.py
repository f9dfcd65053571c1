"""Training by several processes, one a GPU, that torchrun started: who does what, and the sums.

Every process draws the chances of the whole batch and takes every n-th person of it, so a run
sees the same pictures whatever the number of processes. Each sums its loss over its own people;
divided by the weight of all people, and not of its own, the gradients that DistributedDataParallel
averages are those that one process would have had.

Batch norm sees the whole batch on GPUs (SyncBatchNorm). On CPUs, where PyTorch has none, each
process normalises by its own part, and the first one's running statistics are kept: there, several
processes learn what one process learns with a smaller batch for its statistics.
"""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from rtpose.errors import RtposeError
from rtpose.gpu import select_device
from rtpose.network import DCHourglass
from training.on_gpu import EveryStack

_PATIENCE = datetime.timedelta(hours=3)
"""How long the others wait for the first process, which alone cuts crops and evaluates."""


@dataclass(frozen=True)
class Processes:
    """Which one this process is among those that train one network together.

    Attributes
    ----------
    rank : int
        Number of this one, from 0.
    count : int
    device : str
        Where this one computes.
    """

    rank: int
    count: int
    device: str

    @property
    def first(self) -> bool:
        """Whether this one writes, evaluates and reports."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """The part of every batch that is for this one."""
        return slice(self.rank, None, self.count)

    def every_stack(self, network: DCHourglass) -> Callable[[Tensor], list[Tensor]]:
        """`network.every_stack`, its gradients averaged over the processes.

        The network's parameters stay its own; on GPUs its batch norms are replaced by ones that
        see the whole batch.
        """
        if self.count == 1:
            return network.every_stack
        if torch.device(self.device).type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(EveryStack(network))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the processes, without gradient."""
        value = value.detach().clone()
        if self.count > 1:
            distributed.all_reduce(value)
            value /= self.count
        return value

    def first_says(self, yes: bool) -> bool:
        """What the first process says: for what depends on the clock, and must not on whose."""
        if self.count == 1:
            return yes
        answer = torch.tensor(int(yes), device=self.device)
        distributed.broadcast(answer, 0)
        return bool(answer.item())

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """Let the others begin when the first one is done, with what it left on the disk."""
        if self.count > 1 and not self.first:
            distributed.barrier()
        try:
            yield
        finally:
            if self.count > 1 and self.first:
                distributed.barrier()


ALONE = Processes(0, 1, "cpu")
"""One process on the CPU."""


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, if it started this one.

    All but the first keep silent on the log, short of errors.

    Parameters
    ----------
    device : str
        ``cpu``, or ``cuda`` for each process's own GPU.

    Raises
    ------
    RtposeError
        If the device is not to be had, there are more processes than GPUs, or a certain GPU is
        asked for all of them.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, select_device(device))
        return
    backend = "gloo"
    if device != "cpu":
        local = int(os.environ["LOCAL_RANK"])
        if device != "cuda":
            raise RtposeError(f"--device {device}: several processes take a GPU each: say cuda")
        if local >= torch.cuda.device_count():
            raise RtposeError(
                f"torchrun started more processes than the {torch.cuda.device_count()} GPUs here: "
                "lower --nproc-per-node"
            )
        device, backend = f"cuda:{local}", "nccl"
        torch.cuda.set_device(device)
    # DistributedDataParallel would import it later, and keep the group in its functions' defaults
    # beyond its end: its threads, still running, now and then abort the process at its exit
    from torch.distributed.nn import functional  # noqa: F401

    distributed.init_process_group(backend, timeout=_PATIENCE)
    processes = Processes(distributed.get_rank(), count, device)
    if not processes.first:
        logging.getLogger().setLevel(logging.ERROR)
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
