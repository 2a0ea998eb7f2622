"""What can be seen of CUDA graphs without a GPU; tests/test_training.py has the rest."""

import torch
from torch import nn

from ubc_lib.training.fast.graphs import unchanged


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.randn(8, 3)).sum().backward()
    optimizer.step()


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return model, torch.optim.Adam(model.parameters())


def values(model: nn.Module, optimizer: torch.optim.Optimizer) -> list:
    states = optimizer.state_dict()["state"].values()
    kept = [value for state in states for value in state.values()]
    return [value.tolist() for value in [*model.state_dict().values(), *kept]]


def test_warming_up_leaves_weights_statistics_and_optimizer_as_they_were():
    model, optimizer = network()
    train(model, optimizer)
    before = values(model, optimizer)
    with unchanged(model, optimizer):
        train(model, optimizer)
        assert values(model, optimizer) != before
    assert values(model, optimizer) == before


def test_warming_up_a_new_optimizer_leaves_it_at_its_start():
    one, other = network(), network()
    other[0].load_state_dict(one[0].state_dict())
    with unchanged(*one):
        train(*one)
    for both in (one, other):
        torch.manual_seed(0)
        train(*both)
    assert values(*one) == values(*other)
