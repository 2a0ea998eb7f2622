"""How right the networks that a study keeps are on test images with noise or artefacts.

The artefacts are TorchIO's (Pérez-García et al., 2021), put on slices as networks are shown them.
All networks of a seed see the same images, and none is trained anew.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
import torchio

from ubc_lib.data.slices import Slices
from ubc_lib.data.split import draw_split
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import torch_seed
from ubc_lib.training.prediction import Kept, ask, kept_networks

# Three strengths of each, and the transform: a standard deviation of noise, in normalised
# intensities; one of a Gaussian, in pixels; coefficients of the logarithm of a bias field; ghosts
# in parts of the brightest frequency; degrees and pixels of a motion; pixels that become one.
ARTEFACTS: dict[str, tuple[tuple[float, ...], Callable[[float], torchio.Transform]]] = {
    "noise": ((0.25, 0.5, 1), lambda sd: torchio.RandomNoise(std=(sd, sd))),
    "blur": ((0.5, 1, 2), lambda sd: torchio.RandomBlur(std=(sd, sd, sd, sd, 0, 0))),
    "bias field": ((0.1, 0.2, 0.4), lambda size: torchio.RandomBiasField(coefficients=size)),
    "ghosting": (
        (0.5, 1, 2),
        lambda part: torchio.RandomGhosting(num_ghosts=4, axes=(0, 1), intensity=(part, part)),
    ),
    "motion": ((2, 5, 10), lambda most: torchio.RandomMotion(degrees=most, translation=most)),
    "low resolution": (
        (1.5, 2, 4),
        lambda times: torchio.RandomAnisotropy(axes=(0, 1), downsampling=(times, times)),
    ),
}
TESTED = [("none", 0.0)]
TESTED += [(name, one) for name, (strengths, _) in ARTEFACTS.items() for one in strengths]
COLUMNS = ["model", "seed", "artefact", "strength", "accuracy", "dice", "fingerprint"]


def with_artefact(images: np.ndarray, name: str, strength: float, seed: int) -> np.ndarray:
    """Images, float32 (n, H, W), with one of `ARTEFACTS`, drawn anew for each.

    What is 0 stays 0: brains are cut out after they were scanned.
    """
    found = np.empty_like(images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, f"{name} {strength}"))
        for place, image in enumerate(images):
            darkest = image.min()
            scanned = torch.as_tensor(image - darkest)[None, :, :, None]
            changed = ARTEFACTS[name][1](strength)(scanned)[0, :, :, 0]
            found[place] = np.where(image == 0, 0, changed + darkest)
    return found


def each_artefact(image: np.ndarray, seed: int) -> dict[str, dict[float, np.ndarray]]:
    """An image, float32 (H, W), as it is (strength 0) and with each artefact, by its strength."""
    return {
        name: {0.0: image}
        | {one: with_artefact(image[None], name, one, seed)[0] for one in strengths}
        for name, (strengths, _) in ARTEFACTS.items()
    }


def under_artefacts(study: Study, slices: Slices) -> pd.DataFrame:
    """Accuracy and pooled Dice on the test half, by model, seed, artefact and strength.

    First without any artefact. Of every kept network that needs no true mask. Where no weights are
    here, the rows that were published of the same data, whose `fingerprint` each row bears.
    Raises InputError where there are none either, and for weights as `kept_networks` does.
    """
    models = [name for name in study.models if not study.of(name).needs_mask]
    kept = {name: kept_networks(study, name, slices.fingerprint) for name in models}
    published = study.results_folder / "tables" / "artefacts.csv"
    if not any(kept.values()):
        table = pd.read_csv(published) if published.is_file() else pd.DataFrame(columns=COLUMNS)
        table = table[table["fingerprint"] == slices.fingerprint].reset_index(drop=True)
        if table.empty:
            raise InputError(
                f"artefacts: study {study.name} keeps no weights here, and nothing was published "
                "of the same data. Records alone do not do: set artefacts=false, or delete them "
                "and train anew."
            )
        return table
    rows = []
    for seed in study.all_seeds:
        asked = {name: networks[seed] for name, networks in kept.items() if seed in networks}
        rows += _of_seed(study, slices, seed, asked) if asked else []
    return pd.DataFrame(rows, columns=COLUMNS).assign(fingerprint=slices.fingerprint)


def _of_seed(study: Study, slices: Slices, seed: int, asked: dict[str, Kept]) -> Iterator[dict]:
    test = draw_split(slices.table, study, seed).test
    images, masks = slices.images[test], slices.masks[test]
    target = slices.table["target"].to_numpy()[test]
    for artefact, strength in TESTED:
        seen = with_artefact(images, artefact, strength, seed) if strength else images
        for model, networks in asked.items():
            probability, responses = ask(study.of(model), *networks, seen)
            row = {"model": model, "seed": seed, "artefact": artefact, "strength": strength}
            row["accuracy"] = np.mean((probability > 0.5) == (target == 1))
            if responses is not None:
                drawn = responses > 0.5
                row["dice"] = 2 * (drawn & masks).sum() / (drawn.sum() + masks.sum())
            yield row


def most_lost(table: pd.DataFrame) -> pd.DataFrame:
    """What the strongest of each artefact takes from accuracy and Dice, by model.

    table: see `under_artefacts`. Columns model, artefact, strength, accuracy_lost and dice_lost
    (means over seeds), seeds.
    """
    run, metrics = ["model", "seed"], ["accuracy", "dice"]
    clean = table[table["artefact"] == "none"].set_index(run)[metrics]
    others = table[table["artefact"] != "none"]
    strongest = others.groupby("artefact")["strength"].transform("max") == others["strength"]
    worst = others[strongest].set_index(run)
    lost = (clean.loc[worst.index] - worst[metrics]).add_suffix("_lost")
    lost = pd.concat([worst[["artefact", "strength"]], lost], axis=1).reset_index()
    grouped = lost.groupby(["model", "artefact", "strength"], as_index=False, sort=False)
    means = {metric: (metric, "mean") for metric in lost.columns[-len(metrics) :]}
    return grouped.agg(**means, seeds=("seed", "nunique"))
