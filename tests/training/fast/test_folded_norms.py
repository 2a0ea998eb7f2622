"""Without its norms a model says the same, and it has them again afterwards."""

import pytest
import torch
from torch import nn

from ubc_lib.models import NETWORKS, build_model
from ubc_lib.training.fast.cpu_layers import use_cpu_layers
from ubc_lib.training.fast.folded_norms import WEIGHTS_PER_PIXEL, folded_norms

IMAGES = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def trained(name: str) -> nn.Module:
    """A model in evaluation mode whose norms do something."""
    model = build_model(name, 0)
    with torch.no_grad():
        for seed, norm in enumerate(norms(model)):
            generator = torch.Generator().manual_seed(seed)
            for numbers in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                numbers.uniform_(0.5, 1, generator=generator)
    return model.eval()


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


def answers(model: nn.Module) -> list[torch.Tensor]:
    output = model(IMAGES)
    return [part for part in (output.logits, output.mask_logits) if part is not None]


@pytest.mark.parametrize("of_cpu", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_answers_are_the_same_with_fewer_norms(name, of_cpu):
    model = use_cpu_layers(trained(name)) if of_cpu else trained(name)
    expected, norms_before = answers(model), len(norms(model))
    with folded_norms(model, pixels=10**6):
        assert 0 < len(norms(model)) < norms_before
        found = answers(model)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_norms_of_convolutions_with_many_weights_for_so_few_pixels_stay():
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.BatchNorm2d(8)).eval()
    for pixels, kind in [(8, nn.BatchNorm2d), (8 / WEIGHTS_PER_PIXEL, nn.Identity)]:
        with folded_norms(model, pixels):
            assert type(model[1]) is kind


@torch.inference_mode()
def test_afterwards_the_model_is_as_it_was_also_after_an_error():
    model = trained("ubc_resnet34")
    layers, numbers = list(model.modules()), model.state_dict(keep_vars=True)
    with pytest.raises(torch.OutOfMemoryError), folded_norms(model, pixels=10**6):
        raise torch.OutOfMemoryError
    assert list(model.modules()) == layers
    assert list(model.state_dict()) == list(numbers)
    assert all(numbers[name] is kept for name, kept in model.state_dict(keep_vars=True).items())
