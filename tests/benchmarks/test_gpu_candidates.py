"""What is tried for a GPU's speed computes what the library computes, here on a CPU."""

import pytest
import torch

from benchmarks import gpu_candidates
from benchmarks.gpu_candidates import (
    WAYS,
    Case,
    compiled,
    folded,
    losses,
    measure_epochs,
    measure_evaluation,
    measure_training,
    seeds_together,
    single_kernels,
)
from ubc_lib.models import NETWORKS

ONE_SEED = [name for name in WAYS if name != "compiled" and "seeds" not in name]


def case(network: str) -> Case:
    return Case(network, image_size=32, batch_size=4, device="cpu")


@pytest.mark.parametrize("way", ONE_SEED)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_way_has_the_losses_of_single_kernels(network, way):
    plain = losses(single_kernels, case(network), steps=3)
    assert plain[0] != pytest.approx(plain[2], rel=1e-3)
    ours = losses(WAYS[way], case(network), steps=3)
    assert ours == pytest.approx(plain, rel=2e-2)


@pytest.mark.parametrize(("asked", "steps"), [("fp32", 3), ("bf16", 1)])
@pytest.mark.parametrize("network", NETWORKS)
def test_several_seeds_together_have_the_losses_of_single_kernels(network, asked, steps):
    """In bf16 those of the first: after a step of so few images, rounding alone moves losses."""
    two = case(network)._replace(asked=asked, seeds=2)
    ours = losses(seeds_together, two, steps)
    assert ours == pytest.approx(losses(single_kernels, two, steps), rel=2e-2)


@pytest.mark.parametrize("network", NETWORKS)
def test_compiled_steps_have_the_losses_of_single_kernels(network):
    """By a compiler that only takes the step apart, since the other needs minutes."""
    ours = losses(lambda one: compiled(one, "aot_eager"), case(network), steps=3)
    assert ours == pytest.approx(losses(single_kernels, case(network), steps=3), rel=2e-2)


@pytest.mark.parametrize("network", NETWORKS)
def test_folded_norms_change_no_answer(network):
    model, images = case(network).model(), torch.randn(4, 1, 32, 32)
    for _ in range(3):
        model(images)
    expected = model.eval()(images)
    with torch.no_grad():
        ours = folded(model)(images)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.modules())
    assert torch.allclose(ours.logits, expected.logits, atol=1e-4)
    if ours.mask_logits is not None:
        assert torch.allclose(ours.mask_logits, expected.mask_logits, atol=1e-4)


def test_a_way_that_fails_is_named_and_leaves_the_others(monkeypatch):
    def broken(_):
        raise RuntimeError("no such kernel\nat all")

    ways = {"broken": broken, "single kernels": single_kernels}
    monkeypatch.setattr(gpu_candidates, "WAYS", ways)
    broken, plain = measure_training(case("resnet34"), steps=1)
    assert broken["problem"] == "no such kernel"
    assert plain["ms_per_step"] > 0
    assert plain["apart"] == 0


def test_epochs_are_measured_with_many_waits_and_with_one():
    one_by_one, at_once = measure_epochs(case("resnet34")._replace(batch_size=40), epochs=1)
    assert (one_by_one["way"], at_once["way"]) == ("epochs", "epochs, one wait")
    assert min(one_by_one["ms_per_epoch"], at_once["ms_per_epoch"]) > 0


def test_batches_of_evaluation_are_measured_and_put_back():
    before = dict(gpu_candidates.evaluation.PIXELS)
    rows = list(measure_evaluation(case("resnet34"), images=4))
    assert [row["us_per_image"] > 0 for row in rows] == [True] * 4
    assert before == gpu_candidates.evaluation.PIXELS
