"""Adam moves weights as torch's plain one does, however they lie in memory."""

import copy

import pytest
import torch
from torch import nn

from ubc_lib.training.fast.optimizer import Adam

STEPS = 5


def train(network: nn.Module, optimizer: torch.optim.Optimizer, set_rate) -> list[torch.Tensor]:
    images = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    for step in range(STEPS):
        set_rate(optimizer, 0.01 / (1 + step))
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()
    return [weight.detach().clone() for weight in network.parameters()]


def set_group_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    optimizer.param_groups[0]["lr"] = rate


def network(memory_format: torch.memory_format) -> nn.Module:
    torch.manual_seed(0)
    # A bias would have a gradient of rounding errors alone, whose sign Adam follows.
    layers = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2)
    return nn.Sequential(*layers).to(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_moves_weights_as_the_plain_one(memory_format):
    ours = network(memory_format)
    plain = copy.deepcopy(ours)
    moved = train(ours, Adam(ours, 0.5), Adam.set_rate)
    expected = train(plain, torch.optim.Adam(plain.parameters(), lr=0.5), set_group_rate)
    for one, other in zip(moved, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_it_goes_on_from_its_saved_state():
    whole = network(torch.channels_last)
    optimizer = Adam(whole, 0.01)
    train(whole, optimizer, Adam.set_rate)
    resumed = copy.deepcopy(whole)
    other = Adam(resumed, 0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    weights = [train(*pair, Adam.set_rate) for pair in ((whole, optimizer), (resumed, other))]
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other)
