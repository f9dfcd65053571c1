import pytest
import torch

from rtpose.network import Architecture, DCHourglass, sources

SIZE = 64


def build(connect: str, stacks: int = 4, seed: int = 0) -> DCHourglass:
    torch.manual_seed(seed)
    return DCHourglass(Architecture(stacks, 8, 5, connect, depth=2)).eval()  # type: ignore[arg-type]


def pixels() -> torch.Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255


def test_sources():
    assert [sources(s, 4, "chain") for s in (1, 2, 3)] == [(0,), (1,), (2,)]
    assert [sources(s, 4, "dense") for s in (1, 2, 3)] == [(0,), (0, 1), (0, 1, 2)]
    assert [sources(s, 4, "early") for s in (1, 2, 3)] == [(0,), (0, 1), (2,)]


@pytest.mark.parametrize("connect", ["dense", "chain", "early"])
def test_one_map_a_joint_that_sums_to_one(connect: str):
    heatmaps = build(connect)(pixels())
    assert heatmaps.shape == (2, 5, SIZE // 4, SIZE // 4)
    assert torch.allclose(heatmaps.sum(dim=(2, 3)), torch.ones(2, 5), atol=1e-5)
    assert (heatmaps >= 0).all()


def test_every_stack_is_supervised_and_the_last_is_the_answer():
    network = build("dense")
    stacks = network.every_stack(pixels())
    assert len(stacks) == 4
    last = stacks[-1].flatten(2).softmax(-1).view_as(stacks[-1])
    assert torch.equal(network(pixels()), last)


def test_dense_starts_as_chain():
    """The long links begin at zero, so the two networks differ only in what they may learn."""
    dense, chain = build("dense"), build("chain", seed=5)
    weights = dense.state_dict()
    near = 8 + 5
    for name, tensor in chain.state_dict().items():
        is_merge = name.startswith("merges") and name.endswith("weight")
        tensor.copy_(weights[name][:, -near:] if is_merge else weights[name])
    torch.testing.assert_close(dense(pixels()), chain(pixels()))


def test_long_links_learn():
    network = build("dense").train()
    sum(x.square().mean() for x in network.every_stack(pixels())).backward()
    for merge in list(network.merges)[1:]:
        assert merge.weight.grad[:, :-13].abs().max() > 0


def test_dense_and_chain_differ_from_the_third_stack_on():
    def count(connect: str, stacks: int) -> int:
        return sum(p.numel() for p in build(connect, stacks).parameters())

    assert count("dense", 2) == count("chain", 2)
    assert count("dense", 3) > count("chain", 3)
    assert count("dense", 4) > count("early", 4) > count("chain", 4)


def test_pixels_may_be_uint8():
    network = build("chain")
    whole = pixels().round()
    torch.testing.assert_close(network(whole), network(whole.to(torch.uint8)))


@pytest.mark.parametrize(
    "bad", [{"stacks": 0}, {"channels": 7}, {"joints": 0}, {"connect": "ring"}, {"depth": 0}]
)
def test_bad_architecture(bad: dict[str, object]):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Architecture(**({"stacks": 3, "channels": 8, "joints": 5} | bad))  # type: ignore[arg-type]


@pytest.mark.parametrize("connect", ["dense", "chain", "early"])
def test_exports_without_data_dependent_control_flow(connect: str):
    network = build(connect)
    exported = torch.export.export(network, (pixels(),))
    torch.testing.assert_close(exported.module()(pixels()), network(pixels()))
