"""What a training has done so far, and the file from which it goes on."""

import io
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from ubc_lib.results.plateau import EVALUATIONS_AVERAGED, plateau_epoch, reported_epochs
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path
from ubc_lib.training.device import is_of_device
from ubc_lib.training.evaluation import Prediction

SECONDS = 60.0  # from one checkpoint to the next
FORMAT = 3  # another one is not resumed from; the run starts anew


@dataclass
class Progress:
    """What training has done so far.

    history: one dict per epoch (epoch, learning_rate, loss, cross_entropy, soft_dice_loss,
    accuracy on the training batches, seconds). predictions: of the test set, by epoch. kept: the
    weights of the last epoch that is reported, as far as is known; None where nobody asked.
    """

    history: list[dict] = field(default_factory=list)
    predictions: dict[int, Prediction] = field(default_factory=dict)
    kept: dict[str, torch.Tensor] | None = None

    def keep_if_reported(self, model: nn.Module, study: Study) -> None:
        """Keep the weights where the latest evaluation is one of those that are reported."""
        evaluated = [*self.predictions]
        if evaluated[-1] in reported_epochs(evaluated, self.plateau(study)):
            self.kept = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}

    @property
    def diverged_epoch(self) -> int | None:
        """The epoch in which the loss ceased to be a finite number, the last one; else None."""
        finite = not self.history or math.isfinite(self.history[-1]["loss"])
        return None if finite else self.history[-1]["epoch"]

    def plateau(self, study: Study) -> int | None:
        """The plateau epoch by the study's rule, or None."""
        losses = [row["loss"] for row in self.history]
        return plateau_epoch(losses, study.plateau_window, study.plateau_tolerance)

    def is_finished(self, study: Study) -> bool:
        """Whether all epochs are done or, with stop_at_plateau, the reported metric is known."""
        if self.diverged_epoch or len(self.history) >= study.epochs:
            return True
        plateau = self.plateau(study) if study.stop_at_plateau else None
        if plateau is None:
            return False
        return sum(epoch >= plateau for epoch in self.predictions) >= EVALUATIONS_AVERAGED


@dataclass
class Checkpoint:
    """The file of a run that is not finished.

    identity: of everything that the run depends on; the file of another one is not resumed from.
    seconds: from one writing to the next.
    """

    path: Path
    identity: str
    seconds: float = field(default_factory=lambda: SECONDS)
    written: float = field(default_factory=time.monotonic, init=False)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self.written >= self.seconds

    def write(self, model: nn.Module, optimizer: torch.optim.Optimizer, done: Progress) -> None:
        """Keep what is needed to go on exactly as if the run had not stopped."""
        predictions = {
            epoch: {name: torch.as_tensor(v) for name, v in asdict(p).items() if v is not None}
            for epoch, p in done.predictions.items()
        }
        state = {
            "format": FORMAT,
            "identity": self.identity,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": done.history,
            "predictions": predictions,
            "kept": done.kept,
        }
        # Through memory, since torch's own writer tells a full disk as an error of another kind.
        written = io.BytesIO()
        torch.save(state, written)
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(written.getbuffer())
        self.written = time.monotonic()

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put model and optimizer where they were; nothing is done where there is no such file.

        Raises InputError where the file is damaged; a device's own errors pass.
        """
        device = next(model.parameters()).device
        if not self.path.is_file():
            return Progress()
        absent = dict.fromkeys(Prediction.__dataclass_fields__)
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
            if (state.get("format"), state["identity"]) != (FORMAT, self.identity):
                return Progress()
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            predictions = {
                epoch: Prediction(**absent | {name: v.cpu().numpy() for name, v in values.items()})
                for epoch, values in state["predictions"].items()
            }
            return Progress(state["history"], predictions, state["kept"])
        except Exception as error:
            if is_of_device(error):
                raise
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"The checkpoint {self.path} is damaged ({reason}). Delete it; the run then starts "
                "anew."
            ) from error
