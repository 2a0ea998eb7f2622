"""What the networks that a study keeps say of new images, which have neither label nor mask."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from torch import nn

from ubc_lib.data.people import check_box
from ubc_lib.data.planes import fitted, prepare, unfit_plane
from ubc_lib.data.readers import reader_of
from ubc_lib.data.slices import read_slices
from ubc_lib.data.volumes import read_image
from ubc_lib.models import shown
from ubc_lib.results.record import check_record, weights_path
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError, unknown_name
from ubc_lib.training.evaluation import predict, response_maps
from ubc_lib.training.weights import DRAWING, load_weights

GREY = "grey"  # the channel of an image that is taken as it is
# A network, and for a two-step model the one that draws what it is shown.
Kept = tuple[nn.Module, nn.Module | None]


@dataclass(frozen=True)
class Answer:
    """What was said of one image.

    slices: a row per slice that shows anything: slice_index, probability (of the positive class),
    drawn_share (of the image, NaN where nothing is drawn), counted (in the image's own
    probability: of a volume the slices that training would take, those with most lesion drawn; all
    where nothing is). images, responses: what was shown and the mean response, float32 (slices,
    image_size, image_size); responses None where the model draws nothing. mask: bool, where the
    response is above one half, in the image's own planes (of which those left out are empty).
    """

    path: Path
    slices: pd.DataFrame
    images: np.ndarray
    responses: np.ndarray | None
    mask: np.ndarray | None

    @property
    def probability(self) -> float:
        """Of the positive class, the mean of the slices that are counted."""
        return float(self.slices.loc[self.slices["counted"], "probability"].mean())


class Predictor:
    """What a model of a study says of new images, the mean over all seeds whose weights are kept.

    Images go through the same gate and preparation as those that were trained on. channel: as in a
    manifest, that of training if none is named. Raises InputError for a model that needs true
    masks, and where weights are missing, damaged or of other settings.
    """

    def __init__(self, study: Study, model: str, channel: str | None = None):
        if model not in study.models:
            raise InputError(unknown_name("model", model, study.models, f"study {study.name}"))
        self.study = study.of(model)
        control = self.study.needs_mask
        if control or study.view == "lesion":
            raise InputError(
                f"{f'Model {model}' if control else 'view=lesion'} of study {study.name} needs the "
                "true mask of an image, which new ones do not have."
            )
        slices = read_slices(study)
        self.networks = [*kept_networks(study, model, slices.fingerprint).values()]
        if not self.networks:
            raise InputError(
                f"Study {study.name} keeps no weights of {model} in "
                f"{weights_path(study, model).parent}. Run make study STUDY={study.name}."
            )
        table = slices.table
        self.labels = table.drop_duplicates("target").set_index("target")["label"].to_dict()
        channels = [channel] if channel else table["channel"].unique()
        if len(channels) > 1:
            raise InputError(
                f"Images of {study.name} are of {len(channels)} channels: name one, or {GREY}."
            )
        self.channel = None if channels[0] in ("", GREY) else channels[0]

    def __call__(self, path: Path) -> Answer:
        """The answer for one image; InputError where it cannot be used."""
        study = self.study
        read = read_image(path, path.name, self.channel)
        if study.volumes == "boxes" and reader_of(study).heads:
            check_box(read.about, path.name)
        volume = prepare(read, path.name, study)
        places = np.flatnonzero(volume.image.any(axis=(1, 2)))
        if not len(places):
            raise InputError(f"{path} shows nothing: all of it is 0.")
        with np.errstate(over="ignore"):
            images = fitted(volume.image[places], study)
        if not np.isfinite(images).all():
            raise InputError(f"{path}: intensities are too large without normalisation.")
        said = [ask(study, *pair, images) for pair in self.networks]
        probability = np.mean([one for one, _ in said], axis=0)
        table = pd.DataFrame({"slice_index": places, "probability": probability})
        drawn = [one for _, one in said if one is not None]
        if not drawn:
            return Answer(path, table.assign(drawn_share=np.nan, counted=True), images, None, None)
        responses, mask = np.mean(drawn, axis=0), np.zeros(volume.image.shape, bool)
        mask[places] = [unfit_plane(one, mask.shape[1:], study) > 0.5 for one in responses]
        table["drawn_share"] = mask[places].mean(axis=(1, 2))
        with_most = table["drawn_share"].nlargest(study.slices_per_patient).index
        lesion = table["drawn_share"] > 0
        table["counted"] = (table.index.isin(with_most) & lesion) | ~lesion.any()
        return Answer(path, table, images, responses, mask)


def kept_networks(study: Study, model: str, fingerprint: str) -> dict[int, Kept]:
    """The networks of a model that a study keeps, by seed.

    fingerprint: of the study's slices. Raises InputError where one is damaged, or was trained with
    other settings or on other data.
    """
    parts = ["", DRAWING] if study.of(model).two_step else [""]
    seeds = [seed for seed in study.all_seeds if weights_path(study, model, seed).is_file()]
    for path in (weights_path(study, model, seed, part) for seed in seeds for part in parts):
        check_record(_about(path) | {"run": {"model": model}}, study, fingerprint, path)
    kept = {seed: [load_weights(study, model, seed, part) for part in parts] for seed in seeds}
    return {seed: (one[0], one[1] if len(one) > 1 else None) for seed, one in kept.items()}


def _about(path: Path) -> dict:
    """Settings and data that a file of weights was trained with."""
    try:
        with safe_open(path, "pt") as stored:
            about = {key: json.loads(text) for key, text in (stored.metadata() or {}).items()}
    except Exception as error:  # whatever a parser makes of damaged bytes
        raise InputError(f"The weights {path} are damaged or not there ({error}).") from error
    if "settings" not in about:
        raise InputError(
            f"{path} does not say what it was trained with; it is of an earlier version. "
            "Delete it with the record of its run, and run the study again."
        )
    return about


def ask(
    study: Study, network: nn.Module, drawing: nn.Module | None, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Probabilities (n,) and, where anything is drawn, responses (n, H, W) of one network.

    study: a model's own. drawing: the network that draws what a two-step model is shown. images:
    float32 (n, H, W), as in training.
    """
    images = torch.as_tensor(images).unsqueeze(1)
    responses = response_maps(drawing or network, images)
    if drawing:
        masks = torch.as_tensor(responses > 0.5).unsqueeze(1)
        masks |= ~masks.any(dim=(2, 3), keepdim=True)
        images = shown(images, masks, study.model_copy(update={"image": "masked"}))
    nothing = torch.zeros(len(images), dtype=torch.int64)
    masks = torch.zeros_like(images, dtype=torch.bool)
    return predict(network, images, masks, nothing, "fp32").probability, responses
