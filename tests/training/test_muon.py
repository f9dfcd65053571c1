import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.muon import Muon, orthogonalise


@given(st.integers(2, 24), st.integers(2, 24), st.integers(0, 2**16))
def test_updates_are_about_orthogonal(rows: int, columns: int, seed: int):
    """Five iterations lift every singular value that is not tiny into the neighbourhood of 1."""
    random = torch.Generator().manual_seed(seed)
    matrices = torch.randn(3, rows, columns, generator=random)
    given = torch.linalg.svdvals(matrices / matrices.norm(dim=(1, 2), keepdim=True))
    made = torch.linalg.svdvals(orthogonalise(matrices).float())
    assert made.shape == given.shape
    assert (made < 1.3).all()
    assert (made[given > 0.02] > 0.5).all()


def test_directions_are_kept():
    """Of U S V' it gives about U V'."""
    u, _, v = torch.linalg.svd(torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(1)))
    matrix = u @ torch.diag_embed(torch.linspace(0.5, 2, 6)[None]) @ v
    made = orthogonalise(matrix).float()
    assert torch.nn.functional.cosine_similarity(made.flatten(), (u @ v).flatten(), dim=0) > 0.97


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_learns(layout: torch.memory_format):
    """Recovers a convolution from its answers, whatever the memory layout of its weights."""
    torch.manual_seed(0)
    truth = torch.nn.Conv2d(4, 6, 3, bias=False)
    learner = torch.nn.Conv2d(4, 6, 3, bias=False).to(memory_format=layout)  # type: ignore[call-overload]
    optimiser = Muon(learner.parameters(), lr=0.02)
    first = last = 0.0
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.02 * (1 - step / 200)
        pictures = torch.randn(8, 4, 8, 8)
        loss = (learner(pictures) - truth(pictures).detach()).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        last = loss.item()
        first = first or last
    assert last < first / 100


def test_weights_decay_without_gradients():
    weight = torch.nn.Parameter(torch.ones(3, 3))
    optimiser = Muon([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros(3, 3)
    optimiser.step()
    torch.testing.assert_close(weight.detach(), torch.full((3, 3), 0.95))
