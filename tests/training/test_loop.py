import os
import shutil
import subprocess
import sys
import zlib
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import tiny_study
from ubc_lib.losses import joint_loss
from ubc_lib.models import NETWORKS, build_model
from ubc_lib.study.files import ROOT
from ubc_lib.system.errors import InputError
from ubc_lib.training.checkpoint import Checkpoint
from ubc_lib.training.device import computing, cpu_threads
from ubc_lib.training.examples import Examples
from ubc_lib.training.fast.layers import use_cpu_layers
from ubc_lib.training.loop import batches, fit, learning_rates, set_rate


def examples(count: int, size: int = 32, kind: torch.dtype = torch.float32) -> Examples:
    """Images of bright squares: small ones negative, large ones positive."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, 1, size, size))
    masks = np.zeros((count, 1, size, size), bool)
    target = np.arange(count) % 2
    for index in range(count):
        side = 8 + 12 * target[index]
        masks[index, 0, 6 : 6 + side, 6 : 6 + side] = True
    images += 2 * masks
    images = torch.as_tensor(images, dtype=kind)
    return Examples(images, torch.as_tensor(masks), torch.as_tensor(target))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e: Examples(e.images[:, 0], e.masks, e.target), "images must be float"),
        (lambda e: Examples((e.images > 0), e.masks, e.target), "images must be float"),
        (lambda e: Examples(e.images, e.masks.float(), e.target), "masks must be bool"),
        (lambda e: Examples(e.images, e.masks, e.target.float()), "target must be int64"),
        (lambda e: Examples(e.images, e.masks, e.target[:2]), "same n"),
        (lambda e: Examples(e.images[:0], e.masks[:0], e.target[:0]), "same n"),
        (lambda e: Examples(e.images[..., :16], e.masks, e.target), "differ in height or width"),
        (lambda e: Examples(e.images[..., :16], e.masks[..., :16], e.target), "multiples of 32"),
        (lambda e: Examples(e.images, e.masks, e.target + 1), r"targets \[2\]"),
    ],
)
@pytest.mark.parametrize("half", ["training", "test"])
def test_examples_of_wrong_shapes_or_kinds_are_refused_by_name(spoil, message, half):
    good = examples(4)
    both = {"train": good, "test": good} | {"train" if half == "training" else half: spoil(good)}
    with pytest.raises(InputError, match=rf"The {half} examples .*{message}"):
        fit(build_model("resnet34", 0), **both, study=tiny_study(epochs=1), seed=0)


def on_gpu(cpu: Examples) -> Examples:
    return Examples(cpu.images.cuda(), cpu.masks.cuda(), cpu.target.cuda())


def needs_gpu(test):
    """Skipped without a GPU, unless UBC_GPU=1 says that there is one."""
    absent = not torch.cuda.is_available() and os.environ.get("UBC_GPU") != "1"
    return pytest.mark.gpu(pytest.mark.skipif(absent, reason="no CUDA device here")(test))


def permutation_of_epoch(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of images, drawn as the documentation of seeds says, without the library."""
    stream = zlib.crc32(f"order of epoch {epoch}".encode())
    return torch.as_tensor(np.random.default_rng([seed, stream]).permutation(count))


def plain_losses(model, train, study, order) -> list[float]:
    """What everybody would write: the reference that `fit` must agree with."""
    model.train()
    # Adam's first steps follow the sign of a gradient: in another rounding it trains otherwise.
    optimizer = torch.optim.Adam(model.parameters(), lr=study.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, study.decay_every, study.decay)
    means = []
    for epoch in range(1, study.epochs + 1):
        total = 0.0
        for rows in order(epoch).split(study.batch_size):
            optimizer.zero_grad()
            output = model(train.images[rows])
            loss, _, _ = joint_loss(output, train.target[rows], train.masks[rows], study.alpha)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        schedule.step()
        means.append(total / len(train))
    return means


def assert_fit_agrees_with_a_plain_loop(ours: nn.Module, theirs: nn.Module, kind: torch.dtype):
    settings = {"epochs": 7, "decay_every": 2, "evaluate_every": 7, "batch_size": 8}
    study = tiny_study(**settings)
    train, test = (examples(count, size=64, kind=kind) for count in (20, 2))
    with cpu_threads(1):  # batches of 8, 8 and 4: 21 steps
        done = fit(ours.to(kind), train, test, study, seed=3)
        order = partial(permutation_of_epoch, len(train), 3)
        expected = plain_losses(theirs.to(kind), train, study, order)
    assert [row["loss"] for row in done.history] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", NETWORKS)
def test_fit_gives_the_losses_of_a_plain_loop_with_partial_batches(model):
    theirs = use_cpu_layers(build_model(model, 0)).to(memory_format=torch.channels_last)
    assert_fit_agrees_with_a_plain_loop(build_model(model, 0), theirs, torch.float32)


@pytest.mark.parametrize("model", NETWORKS)
def test_but_for_rounding_they_are_those_of_the_layers_of_torch(model):
    # In fp32 they are not even where torch's own layers have their channels in another order.
    theirs = build_model(model, 0)
    assert_fit_agrees_with_a_plain_loop(build_model(model, 0), theirs, torch.float64)


@pytest.mark.parametrize("model", NETWORKS)
def test_one_batch_is_overfitted(model):
    study = tiny_study(epochs=25, learning_rate=1e-3, evaluate_every=25, decay=1.0)
    train = examples(4)
    done = fit(build_model(model, 0), train, train, study, seed=0)
    assert done.history[-1]["cross_entropy"] < 0.05
    assert done.history[-1]["accuracy"] == 1


def test_the_decoder_learns_the_mask():
    study = tiny_study(epochs=64, learning_rate=1e-3, evaluate_every=64, decay=1.0)
    train = examples(4)
    done = fit(build_model("ubc_resnet34", 0), train, train, study, seed=0)
    assert done.history[-1]["soft_dice_loss"] < 0.1


def test_rate_falls_by_a_tenth_every_five_epochs():
    study = tiny_study(epochs=11, evaluate_every=11)
    done = fit(build_model("resnet34", 0), examples(2), examples(2), study, seed=0)
    rates = [row["learning_rate"] for row in done.history]
    assert rates == pytest.approx([2e-5] * 5 + [1.8e-5] * 5 + [1.62e-5])


def test_rate_falls_by_steps_where_it_is_said_so():
    study = tiny_study(decay_by="steps", decay_every=3, decay=0.5, learning_rate=0.8)
    assert learning_rates(study, epoch=1, steps=4) == [0.8, 0.8, 0.8, 0.4]
    assert learning_rates(study, epoch=2, steps=4) == [0.4, 0.4, 0.2, 0.2]
    by_epochs = study.model_copy(update={"decay_by": "epochs"})
    assert learning_rates(by_epochs, epoch=4, steps=4) == [0.4] * 4


@pytest.mark.parametrize(("epochs", "moves"), [(2, False), (3, True)])
def test_epochs_of_the_mask_alone_leave_the_classifier_as_it_was(epochs, moves):
    study = tiny_study(epochs=9, mask_first=2, evaluate_every=9)
    study = study.model_copy(update={"epochs": epochs})
    model = build_model("ubc_resnet34", 0)
    before = model.classification_head.state_dict()["3.weight"].clone()
    encoder = model.encoder.conv1.weight.detach().clone()
    fit(model, examples(4), examples(2), study, seed=0)
    assert torch.equal(before, model.classification_head.state_dict()["3.weight"]) is not moves
    assert not torch.equal(encoder, model.encoder.conv1.weight)


def test_augmented_images_are_what_is_trained_on_and_the_given_ones_stay():
    train = examples(4)
    before = train.images.clone()
    plain, turned = (
        fit(build_model("resnet34", 0), train, train, tiny_study(augmentation=kind), 0).history
        for kind in ("none", "flips")
    )
    assert plain[0]["loss"] != turned[0]["loss"]
    assert torch.equal(before, train.images)


def test_test_images_are_evaluated_at_the_interval_and_at_the_end():
    study = tiny_study(epochs=5, evaluate_every=2)
    done = fit(build_model("resnet34", 0), examples(2), examples(2), study, seed=0)
    assert list(done.predictions) == [2, 4, 5]


def test_a_last_batch_of_one_joins_the_one_before():
    assert [len(part) for part in batches(torch.arange(9), 4)] == [4, 5]
    assert [len(part) for part in batches(torch.arange(10), 4)] == [4, 4, 2]
    study = tiny_study(epochs=1)
    done = fit(build_model("resnet34", 0), examples(5), examples(2), study, seed=0)
    assert np.isfinite(done.history[0]["loss"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_gives_the_same_bits(precision):
    study = tiny_study(epochs=2, precision=precision)
    one, other = (
        fit(build_model("ubc_resnet34", 0), examples(6), examples(4), study, seed=1)
        for _ in range(2)
    )
    assert [row["loss"] for row in one.history] == [row["loss"] for row in other.history]
    assert (one.predictions[2].probability == other.predictions[2].probability).all()


def test_another_seed_gives_another_order_and_other_losses():
    study = tiny_study(epochs=1)
    one, other = (
        fit(build_model("resnet34", 0), examples(8), examples(2), study, seed=seed)
        for seed in (0, 1)
    )
    assert one.history[0]["loss"] != other.history[0]["loss"]


def test_stop_at_plateau_ends_after_five_evaluations_with_the_same_metric():
    changed = {"epochs": 20, "learning_rate": 1e-9, "plateau_window": 2}
    full = tiny_study(**changed)
    short = tiny_study(**changed, stop_at_plateau=True)
    long_run, short_run = (
        fit(build_model("resnet34", 0), examples(4), examples(4), study, seed=0)
        for study in (full, short)
    )
    assert short_run.plateau(short) == long_run.plateau(full) == 4
    assert len(short_run.history) == 8
    for epoch in range(4, 9):
        one, other = long_run.predictions[epoch], short_run.predictions[epoch]
        assert (one.probability == other.probability).all()


class Killed(Exception):
    pass


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", NETWORKS)
def test_a_killed_run_resumes_as_if_nothing_had_happened(tmp_path, model, precision):
    study = tiny_study(epochs=4, precision=precision)
    whole = fit(build_model(model, 0), examples(6), examples(4), study, seed=0)

    trained = []

    def kill(images):
        trained.append(images)
        if len(trained) == 4:  # the first call is the resumption, then epochs 1, 2, 3
            raise Killed

    kept = Checkpoint(tmp_path / "run.pt", "x", seconds=0)
    data = examples(6), examples(4)
    with pytest.raises(Killed):
        fit(build_model(model, 0), *data, study, 0, on_epoch=kill, checkpoint=kept)
    resumed = fit(build_model(model, 99), *data, study, seed=0, checkpoint=kept)

    def losses(done):
        return [row["loss"] for row in done.history]

    assert losses(resumed) == losses(whole)
    for epoch in range(1, 5):
        one, other = whole.predictions[epoch], resumed.predictions[epoch]
        assert (one.probability == other.probability).all()
        assert one.dice() == other.dice() or model == "resnet34"


def test_a_checkpoint_of_another_run_is_not_used(tmp_path):
    study = tiny_study(epochs=1)
    one, other = (Checkpoint(tmp_path / "run.pt", name, seconds=0) for name in ("one", "other"))
    train = examples(4)
    fit(build_model("resnet34", 0), train, train, study, 0, checkpoint=one)
    expected = fit(build_model("resnet34", 1), train, train, study, 0)
    found = fit(build_model("resnet34", 1), train, train, study, 0, checkpoint=other)
    assert found.history[0]["loss"] == expected.history[0]["loss"]


def resume(path):
    train, test, kept = examples(2), examples(2), Checkpoint(path, "")
    return fit(build_model("resnet34", 0), train, test, tiny_study(), 0, checkpoint=kept)


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "run.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"run\.pt is damaged.*Delete it"):
        resume(tmp_path / "run.pt")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: unknown")]
)
def test_a_device_that_fails_while_a_run_resumes_is_no_damaged_checkpoint(
    tmp_path, monkeypatch, error
):
    def load(*_, **__):
        raise error

    (tmp_path / "run.pt").write_bytes(b"whole")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(type(error), match="CUDA"):
        resume(tmp_path / "run.pt")


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"identity": Evil()}, tmp_path / "run.pt")
    with pytest.raises(InputError, match="damaged"):
        resume(tmp_path / "run.pt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("model", NETWORKS)
def test_layers_of_torch_alone_give_the_same_loss_but_for_rounding(model):
    study = tiny_study(epochs=1, batch_size=8)
    train, losses = examples(16, size=64), []
    for layers in ("auto", "torch"):
        network = build_model(model, 0)
        one = study.model_copy(update={"layers": layers})
        losses.append(fit(network, train, examples(2, size=64), one, 3).history[0]["loss"])
        replaced = [one for one in network.modules() if ".fast." in type(one).__module__]
        assert bool(replaced) is (layers == "auto")
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_without_the_folder_that_is_there_for_speed_training_gives_the_same_loss(tmp_path):
    library = tmp_path / "ubc_lib"
    shutil.copytree(ROOT / "ubc_lib", library, ignore=shutil.ignore_patterns("fast"))
    script = (
        "import sys, torch; from ubc_lib.models import build_model; "
        "from ubc_lib.training import loop; from ubc_lib.study import Study; "
        "from ubc_lib.training.examples import Examples; "
        "study = Study.model_validate_json(sys.argv[1]); torch.set_num_threads(1); "
        "images = torch.randn(16, 1, 64, 64, generator=torch.Generator().manual_seed(0)); "
        "data = Examples(images, images > 1, torch.arange(16) % 2); "
        "done = loop.fit(build_model('ubc_resnet34', 0), data, data, study, 3); "
        "print(loop.fast is None, done.history[0]['loss'])"
    )
    fields = tiny_study(epochs=1, batch_size=8).model_dump_json()
    told = []
    for folder in (ROOT, tmp_path):
        command = [sys.executable, "-c", script, fields]
        environment = os.environ | {"PYTHONPATH": str(folder)}
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        told.append(ran.stdout.split())
    (guest, whole), (none, alone) = told
    assert (guest, none) == ("False", "True")
    assert float(alone) == pytest.approx(float(whole), rel=1e-3)


def test_a_loss_that_is_no_number_ends_training_in_that_epoch():
    train = examples(2)
    train.images[0] = torch.nan
    done = fit(build_model("resnet34", 0), train, examples(2), tiny_study(), 0)
    assert done.diverged_epoch == len(done.history) == 1
    assert not done.predictions


@needs_gpu
@pytest.mark.parametrize("model", NETWORKS)
def test_a_gpu_learns_the_same_batch(model):
    study = tiny_study(epochs=25, learning_rate=1e-3, evaluate_every=25, decay=1.0, device="cuda")
    train = on_gpu(examples(4))
    done = fit(build_model(model, 0), train, train, study, seed=0)
    assert done.history[-1]["accuracy"] == 1


@needs_gpu
def test_a_gpu_gives_the_losses_of_a_plain_loop_while_the_rate_falls():
    fields = {"epochs": 5, "decay_every": 1, "decay": 0.1, "learning_rate": 1e-4, "batch_size": 8}
    study = tiny_study(device="cuda", evaluate_every=5, **fields)
    train, test = (on_gpu(examples(count, size=64)) for count in (20, 2))
    ours, theirs = (build_model("ubc_resnet34", 0).cuda() for _ in range(2))
    done = fit(ours, train, test, study, seed=3)
    theirs = theirs.to(memory_format=torch.channels_last)
    order = partial(permutation_of_epoch, len(train), 3)
    with computing("fp32"):
        expected = plain_losses(theirs, train, study, lambda epoch: order(epoch).cuda())
    assert [row["loss"] for row in done.history] == pytest.approx(expected, rel=0.02)


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", NETWORKS)
def test_graphs_give_the_losses_of_single_kernels(model, precision):
    study = tiny_study(epochs=5, decay_every=2, batch_size=8, precision=precision, device="cuda")
    train, test = on_gpu(examples(20, size=64)), on_gpu(examples(4, size=64))
    losses = [
        [row["loss"] for row in fit(build_model(model, 0), train, test, one, 3).history]
        for one in (study, study.model_copy(update={"graphs": "off"}))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@needs_gpu
@pytest.mark.parametrize("model", NETWORKS)
def test_a_gpu_gives_the_losses_of_a_cpu_in_fp32(model):
    study = tiny_study(epochs=3, batch_size=8, precision="fp32")
    train, test = examples(20, size=64), examples(4, size=64)
    cpu = fit(build_model(model, 0), train, test, study, 3)
    gpu = fit(build_model(model, 0), on_gpu(train), on_gpu(test), study, 3)
    assert [row["loss"] for row in gpu.history] == pytest.approx(
        [row["loss"] for row in cpu.history], rel=0.01
    )


@needs_gpu
def test_same_seed_gives_the_same_bits_on_a_gpu():
    fields = {"batch_size": 16, "precision": "bf16", "device": "cuda"}
    study = tiny_study(epochs=5, **fields)
    train, test = on_gpu(examples(50, size=224)), on_gpu(examples(4, size=224))
    one, other = (fit(build_model("ubc_resnet34", 0), train, test, study, 1) for _ in range(2))
    assert [row["loss"] for row in one.history] == [row["loss"] for row in other.history]
    assert (one.predictions[5].probability == other.predictions[5].probability).all()


@needs_gpu
def test_a_killed_run_resumes_on_a_gpu(tmp_path):
    study = tiny_study(epochs=6, decay_every=2, device="cuda")
    train, test = on_gpu(examples(6)), on_gpu(examples(4))
    whole = fit(build_model("ubc_resnet34", 0), train, test, study, 0)

    calls = iter(range(3))
    kept = Checkpoint(tmp_path / "run.pt", "", seconds=0)
    with pytest.raises(StopIteration):
        fit(
            build_model("ubc_resnet34", 0),
            *(train, test, study, 0),
            on_epoch=lambda images: next(calls),
            checkpoint=kept,
        )
    resumed = fit(build_model("ubc_resnet34", 9), train, test, study, 0, checkpoint=kept)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]


def test_a_rate_that_is_read_from_memory_is_changed_in_place():
    """As CUDA graphs need it: they go on reading where the rate lay when they were captured."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=torch.tensor(0.1), capturable=False, fused=True)
    rate = optimizer.param_groups[0]["lr"]
    set_rate(optimizer, 0.025)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.025)


def test_every_epoch_trains_with_the_rate_that_its_row_tells():
    study = tiny_study(epochs=3, decay_every=1, decay=0.5, learning_rate=1e-3, evaluate_every=3)
    moved = []
    for epochs in (1, 2, 3):
        model = build_model("resnet34", 0)
        fit(model, examples(4), examples(2), study.model_copy(update={"epochs": epochs}), seed=0)
        moved.append(model.classification_head[3].bias.detach().clone())
    steps = [(after - before).abs().max() for before, after in pairwise(moved)]
    # Adam's early steps are as long as the rate, about.
    assert steps[1] < 0.75 * steps[0]
