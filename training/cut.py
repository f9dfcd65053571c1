"""A shorter network out of a trained one: its first hourglasses, whose last head answers.

Intermediate supervision taught every head to answer by itself, so a network that is cut off needs
little more training.
"""

from __future__ import annotations

from dataclasses import replace

from rtpose.errors import RtposeError
from rtpose.network import DCHourglass
from training.grow import check_links


def cut(network: DCHourglass, stacks: int) -> DCHourglass:
    """The first hourglasses of a network; what their heads answer stays.

    Parameters
    ----------
    network : DCHourglass
        Not changed.
    stacks : int
        Of the new network: 1 to as many as the old one has.

    Raises
    ------
    RtposeError
        If the old one has fewer, or an hourglass would be fed otherwise than now.
    """
    old = network.architecture
    if not 1 <= stacks <= old.stacks:
        raise RtposeError(
            f"a network of {old.stacks} stacks is not cut to {stacks}: give 1 to {old.stacks}"
        )
    check_links(old, stacks)
    short = DCHourglass(replace(old, stacks=stacks))
    state = network.state_dict()
    short.load_state_dict({name: state[name] for name in short.state_dict()})
    return short.eval()
