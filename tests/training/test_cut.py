import pytest
import torch

from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass
from training.cut import cut


def network(connect: str) -> DCHourglass:
    torch.manual_seed(0)
    made = DCHourglass(Architecture(4, 8, 5, connect, depth=2))  # type: ignore[arg-type]
    for merge in made.merges:
        torch.nn.init.normal_(merge.weight, std=0.1)  # type: ignore[arg-type]
    return made.eval()


@pytest.mark.parametrize("connect", ["dense", "chain"])
@pytest.mark.parametrize("stacks", [1, 3, 4])
def test_the_heads_that_stay_answer_the_same(connect: str, stacks: int):
    whole = network(connect)
    short = cut(whole, stacks)
    assert short.architecture == Architecture(stacks, 8, 5, connect, 2)  # type: ignore[arg-type]
    pixels = torch.randint(0, 256, (2, 3, 32, 32)).float()
    before, after = whole.every_stack(pixels), short.every_stack(pixels)
    assert len(after) == stacks
    for old, new in zip(before, after, strict=False):
        torch.testing.assert_close(old, new)


@pytest.mark.parametrize("stacks", [0, 5])
def test_there_are_only_so_many(stacks: int):
    with pytest.raises(RtposeError, match="give 1 to 4"):
        cut(network("dense"), stacks)


def test_early_links_would_move():
    with pytest.raises(RtposeError, match="early"):
        cut(network("early"), 3)
