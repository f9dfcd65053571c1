import torch

from benchmarks.bystanders import with_bystanders
from rtpose.skeleton import LSP14


def test_everybody_gets_a_second_person_always_the_same():
    random = torch.Generator().manual_seed(1)
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=random)
    joints = 20 + 24 * torch.rand(3, len(LSP14), 2, generator=random)
    changed, again = (
        with_bystanders(crops, joints, torch.ones(3, len(LSP14)), LSP14) for _ in range(2)
    )
    assert torch.equal(changed, again)
    different = (changed != crops).any(dim=1)
    assert different.flatten(1).any(dim=1).all()
    # beside the first person, not in his place
    assert different.float().mean() < 0.5
