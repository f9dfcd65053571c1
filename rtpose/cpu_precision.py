"""In which precision a CPU computes a network: the quickest, timed and compared once and kept.

What a processor has instructions for says little about what is quick. On an Intel Xeon whose
virtual machine hides AMX, and leaves AVX512's bfloat16, that takes as long as float32 or half as
long again, and eight bits about half as long.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rtpose.cache import keep, read_as
from rtpose.errors import RtposeError
from rtpose.openvino_model import capabilities, what_computes

log = logging.getLogger(__name__)


class Verdict(Protocol):
    """Whether a precision's answers are float32's, as a dataclass that can be kept as JSON."""

    @property
    def holds(self) -> bool:
        """Whether they are."""


V = TypeVar("V", bound=Verdict)

PRECISIONS = ("fp32", "int8", "bf16", "int8+bf16")
"""From the most exact to the least, by the parity of nano and small.

In ``int8`` the tenth of the arithmetic that eight bits would spoil is float32, and takes half of
nano's time on an AMD EPYC; in ``int8+bf16`` it is bfloat16, which saves a quarter of it all.
"""

EIGHT_BITS = ("int8", "int8+bf16")
"""Those that want to know between what the network's inputs lie."""

_WORTHWHILE = 0.9
"""Part of a more exact one's time that a less exact one may take."""

_TURNS = 7

_AGREE = 1.15
"""Most that the second best turn takes of the best one's time where nothing else runs. On a busy
machine they lay further apart, and nano, which takes half the time in eight bits, was found
quicker in float32."""

_VERDICT = "seconds.json"

_RECIPE = "1"
"""To be raised when how it is timed, or how that is written, changes."""


def check_precision(precision: str) -> None:
    """Refuse a precision that OpenVINO does not compute in on CPUs.

    Raises
    ------
    RtposeError
    """
    if precision not in PRECISIONS:
        raise RtposeError(
            f"openvino on the CPU computes in {', '.join(PRECISIONS)}, not in {precision}"
        )


def possible_precisions(*, measured: bool) -> list[str]:
    """What this processor can compute a network in.

    Parameters
    ----------
    measured : bool
        Whether it is known between what the network's inputs lie, which eight bits need.
    """
    bfloat16 = "BF16" in capabilities()
    return [
        precision
        for precision in PRECISIONS
        if (bfloat16 or "bf16" not in precision) and (measured or precision not in EIGHT_BITS)
    ]


def time_precisions(
    network: str,
    precisions: Sequence[str],
    compile_in: Callable[[str], Any],
    pixels: NDArray[np.uint8],
) -> dict[str, float]:
    """Seconds that a network takes in each precision on this machine, from the cache if known.

    The best of some turns, taken by each precision after the other, so that what else the machine
    does meanwhile falls on all. Where the best two disagree it is timed again at the next start.

    Parameters
    ----------
    network : str
        Its hash.
    precisions : sequence of str
    compile_in : callable
        The network's openvino.InferRequest in a precision.
    pixels : numpy.ndarray
        The network's input.
    """
    key = {
        "seconds": " ".join(precisions),
        "recipe": _RECIPE,
        "network": network,
        "input": str(pixels.shape),
        "cores": str(os.cpu_count()),
        **what_computes(),
    }

    def read(kept: dict[str, bytes]) -> dict[str, float]:
        seconds = json.loads(kept[_VERDICT])
        return {name: float(seconds[name]) for name in precisions}

    known = read_as("openvino", key, read)
    if known is not None:
        return known
    requests = {precision: compile_in(precision) for precision in precisions}
    turns: dict[str, list[float]] = {precision: [] for precision in requests}
    for turn in range(_TURNS + 1):
        for precision, request in requests.items():
            began = time.perf_counter()
            request.infer([pixels])
            if turn:  # the first one makes room
                turns[precision].append(time.perf_counter() - began)
    two = {precision: sorted(taken)[:2] for precision, taken in turns.items()}
    best = {precision: first for precision, (first, _) in two.items()}
    if all(second <= _AGREE * first for first, second in two.values()):
        keep("openvino", key, lambda made: (made / _VERDICT).write_text(json.dumps(best)))
    return best


def quickest_that_agrees(
    seconds: Mapping[str, float], who: str, answers: str, compare: Callable[[str], Verdict]
) -> str:
    """The quickest precision whose answers are float32's; of those that are not it is said.

    Parameters
    ----------
    seconds : mapping of str to float
        From `time_precisions`.
    who, answers : str
        For the message: whose answers, and what they are.
    compare : callable
        From a precision to what its answers are beside float32's. float32 itself is not asked.
    """
    left = dict(seconds)
    while (chosen := worthwhile(left)) != "fp32":
        found = compare(chosen)
        if found.holds:
            break
        log.warning(
            "%s: in %s %s are not those of fp32 (%s): using the next, which is slower",
            who,
            chosen,
            answers,
            found,
        )
        del left[chosen]
    return chosen


def ask_once(kind: type[V], file: str, question: Mapping[str, str], ask: Callable[[], V]) -> V:
    """A verdict on what OpenVINO computes on this processor, from the cache if it is known.

    Parameters
    ----------
    kind : type
        Of the verdict, a dataclass.
    file : str
        What it is called in the cache.
    question : mapping of str to str
        All beside processor and OpenVINO that the verdict depends on.
    ask : callable
        Gives it.
    """
    key = {**question, **what_computes()}
    known = read_as("openvino", key, lambda kept: kind(**json.loads(kept[file])))
    if known is not None:
        return known
    found = ask()
    keep("openvino", key, lambda made: (made / file).write_text(json.dumps(vars(found))))
    return found


def worthwhile(seconds: Mapping[str, float]) -> str:
    """The precision to take: a less exact one only if it is clearly quicker than all before it."""
    chosen, *others = (precision for precision in PRECISIONS if precision in seconds)
    for precision in others:
        if seconds[precision] <= _WORTHWHILE * seconds[chosen]:
            chosen = precision
    return chosen
