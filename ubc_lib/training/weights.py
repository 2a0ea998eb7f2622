"""The weights of trained networks, kept for the pages that show their responses."""

from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save
from torch import nn

from ubc_lib.data.slices import Slices
from ubc_lib.models import build_model, network_class, options
from ubc_lib.results.record import run_name
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path
from ubc_lib.training.evaluation import response_maps
from ubc_lib.training.examples import Examples


def weights_path(study: Study, model: str) -> Path:
    """Where the weights of a model's largest run of the first seed are kept."""
    name = run_name(model, max(study.images_per_class), study.seeds[0])
    return study.run_folder / "weights" / f"{name}.safetensors"


def save_weights(network: nn.Module, path: Path) -> None:
    """Keep a trained network's weights."""
    weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(weights))


def load_encoder(network: nn.Module, path: Path) -> None:
    """Begin with the weights that a file of safetensors has for the encoder.

    Names are those of the encoder, or begin with "encoder.". Raises InputError where the file
    cannot be read, or is of another encoder.
    """
    try:
        weights = {name.removeprefix("encoder."): one for name, one in load_file(path).items()}
        wanted = network.encoder.state_dict().keys()
        network.encoder.load_state_dict({name: weights[name] for name in wanted if name in weights})
    except Exception as error:  # whatever a parser makes of a stranger's bytes
        reason = str(error).partition("\n")[0]
        raise InputError(f"encoder_weights={path} cannot be loaded ({reason}).") from error


def drawing_networks(study: Study) -> dict[str, nn.Module | None]:
    """The trained networks of the models that draw masks, see `load_weights`, by model."""
    drawing = [
        name for name, entry in study.models.items() if network_class(entry.network).draws_masks
    ]
    return {model: load_weights(study, model) for model in drawing}


def response_of(
    study: Study, model: str, network: nn.Module, slices: Slices, rows: np.ndarray
) -> np.ndarray:
    """What a model's trained network draws on rows of the slice table: see `response_maps`."""
    return response_maps(network, Examples.of(slices, rows, "cpu", study.of(model)).images)


def drawn_responses(study: Study, slices: Slices, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What each model whose weights are kept draws on rows of the slice table, by model."""
    return {
        model: response_of(study, model, network, slices, rows)
        for model, network in drawing_networks(study).items()
        if network is not None
    }


def load_weights(study: Study, model: str) -> nn.Module | None:
    """The trained network of a model's largest run of the first seed; None where none is kept.

    Raises InputError where the file is damaged, or of another network.
    """
    path = weights_path(study, model)
    if not path.is_file():
        return None
    network = build_model(study.models[model].network, seed=0, **options(study, model))
    try:
        network.load_state_dict(load_file(path))
    except Exception as error:  # whatever a parser makes of damaged bytes
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"The weights {path} are damaged ({reason}). Delete them; pages then show no responses "
            "until the record beside them is deleted, too, and its run repeated."
        ) from error
    return network.eval()
