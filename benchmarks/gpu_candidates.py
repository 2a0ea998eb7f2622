"""Ways to train or evaluate faster on a GPU that are not in the library: what would each gain?

`measure` takes milliseconds per training step, or per evaluated image, of each way beside that of
the library, on the same rows, and how far its losses come to lie from those of single kernels. A
way comes into the library once a card has shown that it pays. Batches are padded by none of them:
batch normalisation would see what fills them.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.engine import arrays, study_of
from ubc_lib.losses import joint_loss
from ubc_lib.models import Output, build_model
from ubc_lib.study import Study
from ubc_lib.training import evaluation
from ubc_lib.training.device import autocast, choose_precision, computing
from ubc_lib.training.examples import Examples
from ubc_lib.training.fast.graphs import EAGER_STEPS, StepGraphs
from ubc_lib.training.loop import adam, batches, epoch_order, training_step

WARM_UPS = EAGER_STEPS + 2  # the steps that are not timed
TEST_IMAGES = 380


class Case(NamedTuple):
    """What is trained: a network, in batches of so many images of a square, on a device."""

    network: str
    image_size: int
    batch_size: int
    device: str
    seeds: int = 1
    asked: str = "auto"  # precision

    @property
    def study(self) -> Study:
        """The paper's settings."""
        return study_of(self.device, self.image_size, self.batch_size, 1)

    @property
    def precision(self) -> str:
        """That of the arithmetic."""
        return choose_precision(self.asked, torch.device(self.device))

    def examples(self, count: int) -> Examples:
        """Noise on the device."""
        return Examples(*(part.to(self.device) for part in arrays(count, self.image_size)))

    def model(self, seed: int = 0) -> nn.Module:
        """The network of a seed on the device, channels last."""
        built = build_model(self.network, seed).to(self.device)
        return built.to(memory_format=torch.channels_last).train()


Step = Callable[[Tensor], Tensor]  # of rows; gives the sums of `training_step`, of its first seed


def single_kernels(case: Case) -> Step:
    """The library's step without graphs: what all others are compared with."""
    return _step(case, case.model(), case.examples(2 * case.batch_size))


def graphs(case: Case) -> Step:
    """The library's step: on a CPU the one above."""
    step = single_kernels(case)
    return StepGraphs(step) if case.device == "cuda" else step


def compiled(case: Case, backend: str = "inductor") -> Step:
    """Fewer and larger kernels by torch.compile, then graphs."""
    network = torch.compile(case.model(), dynamic=False, backend=backend)
    step = _step(case, network, case.examples(2 * case.batch_size))
    return StepGraphs(step) if case.device == "cuda" else step


def tuned(case: Case) -> Step:
    """cuDNN tries its algorithms and takes the fastest, which need not give the same bits again."""
    step = graphs(case)

    def tune(rows: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
            return step(rows)

    return tune


def half_images(case: Case) -> Step:
    """Images lie on the device in the type of the arithmetic, in bf16 half the bytes to gather."""
    train = case.examples(2 * case.batch_size)
    images = train.images.bfloat16() if case.precision == "bf16" else train.images
    train = Examples(images, train.masks, train.target)
    step = _step(case, case.model(), train)
    return StepGraphs(step) if case.device == "cuda" else step


def half_weights(case: Case) -> Step:
    """Weights are cast once, after Adam's step, and not by each layer that uses them."""
    network, train, study = case.model(), case.examples(2 * case.batch_size), case.study
    optimizer = adam(network, study.learning_rate)
    kind = torch.bfloat16 if case.precision == "bf16" else torch.float32
    weights = dict(network.named_parameters())
    kinds = {name: kind if one.ndim > 1 else one.dtype for name, one in weights.items()}
    used = {k: one.detach().to(kinds[k], copy=True).requires_grad_() for k, one in weights.items()}

    def step(rows: Tensor) -> Tensor:
        target = train.target[rows]
        with autocast(rows.device, case.precision):
            output = functional_call(network, used, (train.images[rows],))
        losses = joint_loss(output, target, train.masks[rows], study.alpha)
        gradients = torch.autograd.grad(losses[0], [*used.values()])
        for parameter, gradient in zip(weights.values(), gradients, strict=True):
            parameter.grad = gradient.to(parameter.dtype)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_([*used.values()], [*weights.values()])
        return _sums(losses, output, target)

    return StepGraphs(step) if case.device == "cuda" else step


def _sums(losses: tuple, output: Output, target: Tensor) -> Tensor:
    """Those of `training_step`, where every image has a label."""
    loss, classification, drawing = losses
    right = (output.logits.argmax(dim=1) == target).float().mean()
    drawing = torch.full_like(loss, math.nan) if drawing is None else drawing
    sums = [loss, drawing, classification, right, torch.ones_like(loss)]
    return torch.stack([one.detach().float() for one in sums]) * len(target)


class NormInFloat(nn.BatchNorm2d):
    """A norm of what is not in its own type, which `vmap` refuses."""

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (n, channels, H, W), as those it returns."""
        return super().forward(maps.float()).to(maps.dtype)


def seeds_together(case: Case) -> Step:
    """The weights of several seeds stacked, trained in one step, each on rows of its own.

    Here all get the same rows, and the first seed's sums are returned.
    """
    train, study = case.examples(2 * case.batch_size), case.study
    networks = [case.model(seed) for seed in range(case.seeds)]
    weights, buffers = stack_module_state(networks)
    skeleton = case.model().to("meta")
    rate = torch.tensor(study.learning_rate, device=case.device)
    on_gpu = case.device == "cuda"
    optimizer = torch.optim.Adam(
        weights.values(), lr=rate if on_gpu else study.learning_rate, fused=True, capturable=on_gpu
    )
    for layer in skeleton.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.__class__ = NormInFloat

    def loss_of(weights, buffers, rows):
        with autocast(rows.device, case.precision):
            output = functional_call(skeleton, (weights, buffers), (train.images[rows],))
        target, masks = train.target[rows], train.masks[rows]
        losses = joint_loss(output, target, masks, study.alpha)
        return losses[0], _sums(losses, output, target)

    every = vmap(grad_and_value(loss_of, has_aux=True), in_dims=(0, 0, 0), randomness="error")

    def step(rows: Tensor) -> Tensor:
        of_each = rows.expand(case.seeds, -1)
        gradients, (_, sums) = every(dict(weights), dict(buffers), of_each)
        for name, parameter in weights.items():
            parameter.grad = gradients[name]
        optimizer.step()
        return sums[0]

    return StepGraphs(step) if on_gpu else step


WAYS: dict[str, Callable[[Case], Step]] = {
    "single kernels": single_kernels,
    "graphs (library)": graphs,
    "cuDNN tuned": tuned,
    "images in bf16": half_images,
    "weights in bf16": half_weights,
    "4 seeds together": lambda case: seeds_together(case._replace(seeds=4)),
    "8 seeds together": lambda case: seeds_together(case._replace(seeds=8)),
    "compiled": compiled,
}
SEEDS = {"4 seeds together": 4, "8 seeds together": 8}


def _step(case: Case, network: nn.Module, train: Examples) -> Step:
    study, device = case.study, torch.device(case.device)
    optimizer = adam(network, study.learning_rate)
    alpha = torch.tensor(study.alpha, device=device)
    return training_step(network, optimizer, train, alpha, study, case.precision)


def losses(way: Callable[[Case], Step], case: Case, steps: int) -> list[float]:
    """The mean loss of each of so many steps, on rows that are drawn alike for every way."""
    step, random = way(case), torch.Generator().manual_seed(0)
    found = []
    for _ in range(steps):
        rows = torch.randperm(2 * case.batch_size, generator=random)[: case.batch_size]
        found.append(step(rows.to(case.device))[0].item() / case.batch_size)
    return found


def measure_training(case: Case, steps: int, left_out: tuple[str, ...] = ()) -> Iterator[dict]:
    """A row for each way: milliseconds of a step of one seed, and how far its losses lie apart.

    The losses are those of eight steps; `apart` is the largest difference in parts of a loss.
    """
    rows = torch.arange(case.batch_size, device=case.device)
    with computing(case.precision):
        plain = losses(single_kernels, case, steps=8)
        for name in (name for name in WAYS if name not in left_out):
            way = WAYS[name]
            row = {"way": name, **case._asdict(), "precision": case.precision} | {"problem": ""}
            row["seeds"] = SEEDS.get(name, 1)
            try:
                ours = losses(way, case, steps=8)
                row["apart"] = max(abs(a - b) / b for a, b in zip(ours, plain, strict=True))
                began = time.perf_counter()
                step = way(case)
                for _ in range(WARM_UPS):
                    step(rows)
                _wait(case)
                row["start_seconds"] = time.perf_counter() - began
                began = time.perf_counter()
                for _ in range(steps):
                    step(rows)
                _wait(case)
                row["ms_per_step"] = 1e3 * (time.perf_counter() - began) / steps / row["seeds"]
            except Exception as error:  # one way that a card refuses leaves the others
                row["problem"] = str(error).partition("\n")[0]
            yield row
            if "captur" in row["problem"]:  # after that the process is not to be trusted
                return


def measure_epochs(case: Case, epochs: int = 40) -> Iterator[dict]:
    """Milliseconds of an epoch of 76 images, as the library has it and with fewer waits.

    The library draws and moves an epoch's order at its beginning and reads its sums at its end. The
    other way draws and moves all orders at once, and reads all sums after the last epoch.
    """
    images = 76
    train, step = case.examples(images), graphs(case)
    drawn = [epoch_order(train, 0, epoch) for epoch in range(2 * epochs)]

    def epoch(order: Tensor) -> Tensor:
        return sum(map(step, batches(order % (2 * case.batch_size), case.batch_size)))

    def one_by_one() -> None:
        for number in range(epochs):
            epoch(epoch_order(train, 0, number)).tolist()

    def all_at_once() -> None:
        torch.stack([epoch(order) for order in drawn[:epochs]]).tolist()

    with computing(case.precision):
        for order in drawn[epochs : epochs + WARM_UPS]:
            epoch(order)
        for name, way in {"epochs": one_by_one, "epochs, one wait": all_at_once}.items():
            _wait(case)
            began = time.perf_counter()
            way()
            milliseconds = 1e3 * (time.perf_counter() - began) / epochs
            yield {"way": name, **case._asdict(), "ms_per_epoch": milliseconds}


def folded(network: nn.Module) -> nn.Module:
    """The network with every norm folded into the convolution before it, for evaluation."""
    network, before = network.eval(), ""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d):
            before = name
        elif isinstance(layer, nn.BatchNorm2d):
            _put(network, before, fuse_conv_bn_eval(network.get_submodule(before), layer))
            _put(network, name, nn.Identity())
    return network


def _put(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, layer)


def measure_evaluation(case: Case, images: int = TEST_IMAGES) -> Iterator[dict]:
    """A row for each size of batches, with norms as they are and folded: microseconds per image."""
    test = case.examples(images)
    for megapixels, fold in ((32, False), (128, False), (512, False), (128, True)):
        network = folded(case.model()) if fold else case.model()
        before = evaluation.PIXELS[case.device]
        evaluation.PIXELS[case.device] = megapixels * 224**2
        try:
            for _ in range(2):
                began = time.perf_counter()
                with computing(case.precision):
                    evaluation.predict(
                        network, test.images, test.masks, test.target, case.precision
                    )
                _wait(case)
        finally:
            evaluation.PIXELS[case.device] = before
        yield {
            "way": f"evaluation, {megapixels} images of 224² at a time" + ", folded" * fold,
            **case._asdict(),
            "precision": case.precision,
            "us_per_image": 1e6 * (time.perf_counter() - began) / images,
        }


def _wait(case: Case) -> None:
    if case.device == "cuda":
        torch.cuda.synchronize()
