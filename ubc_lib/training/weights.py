"""The weights of trained networks, kept for pages that show responses, and for new images."""

import json
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save
from torch import nn

from ubc_lib.data.slices import Slices
from ubc_lib.models import DRAWS, build_model, network_class, options
from ubc_lib.results.record import weights_path
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path
from ubc_lib.training.evaluation import response_maps
from ubc_lib.training.examples import Examples

DRAWING = "-unet"  # ends the name of the network that draws what a two-step model sees


def keeps_weights(study: Study, images_per_class: int, seed: int) -> bool:
    """Whether a study keeps the weights of such runs: of the largest, of its first seed or all."""
    kept = study.seeds[:1] if study.keep_weights == "first" else study.all_seeds
    return images_per_class == max(study.images_per_class) and seed in kept


def save_weights(network: nn.Module, path: Path, record: dict | None = None) -> None:
    """Keep a trained network's weights, with the settings and data of its run's record."""
    weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    about = {key: json.dumps(record[key]) for key in ("settings", "fingerprint")} if record else {}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(weights, about))


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


def load_weights(
    study: Study, model: str, seed: int | None = None, part: str = ""
) -> nn.Module | None:
    """The trained network of a model's largest run, see `weights_path`; None where none is kept.

    Raises InputError where the file is damaged, or of another network.
    """
    path = weights_path(study, model, seed, part)
    if not path.is_file():
        return None
    of_model = study.models[model].network, options(study, model)
    name, asked = (DRAWS, {}) if part == DRAWING else of_model
    network = build_model(name, seed=0, **asked)
    try:
        network.load_state_dict(load_file(path))
    except Exception as error:  # whatever a parser makes of damaged bytes
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"The weights {path} are damaged ({reason}). Delete them; pages then show no responses "
            "until the record beside them is deleted, too, and its run repeated."
        ) from error
    return network.eval()
