"""Writes what networks say of new images: a table, masks beside it, and one page of overlays."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ubc_lib.book.layers import lesion_layer, response_layer, slice_layer, stacked
from ubc_lib.book.words import say
from ubc_lib.data.formats import is_nifti, save_mask
from ubc_lib.data.slices import Slices
from ubc_lib.results.runs import write_table
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path
from ubc_lib.training.prediction import Answer, Predictor

IMAGES = (".nii", ".nii.gz", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".h5")


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and all images in folders named; InputError where there are none."""
    found = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [one for one in inside if path == one or one.name.lower().endswith(IMAGES)]
    if not found:
        raise InputError(f"There is no image in {', '.join(map(str, paths)) or 'nothing'}.")
    return found


def predict(
    study: Study, model: str, paths: Iterable[Path], folder: Path, channel: str | None = None
) -> pd.DataFrame:
    """Answers for images and folders of images, written to a folder; returns the table of images.

    images.csv has a row per image (image, probability of the positive class, answer, slices that it
    is the mean of, drawn_share, networks that were asked, mask), slices.csv one per slice,
    index.html the overlays. Masks lie beside them, where the model draws any: NIfTI on the voxels
    of a NIfTI image, else PNG. An image that cannot be used keeps its row, with the problem.
    Raises InputError for a folder that is not empty, and as `Predictor` does.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already. Name a new folder to write to.")
    paths, say_of = image_files(paths), Predictor(study, model, channel)
    rows, slices, tiles = [], [], {}
    names = [f"{place:04d}_{_stem(path)}" for place, path in enumerate(paths, 1)]
    for path, name in zip(paths, names, strict=True):
        try:
            answer = say_of(path)
        except InputError as error:
            rows.append({"image": str(path), "problem": str(error)})
            continue
        row = _row(answer, say_of.labels)
        if answer.mask is not None:
            row["mask"] = str(save_mask(answer.mask, path, folder / "masks" / name))
        rows.append(row | {"networks": len(say_of.networks), "problem": ""})
        slices.append(answer.slices.assign(image=str(path)))
        tiles[name] = _tile(answer), row
    columns = ["image", "probability", "answer", "slices", "drawn_share", "networks"]
    columns += ["mask", "problem"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    write_table(folder / "images.csv", table)
    if slices:
        write_table(folder / "slices.csv", pd.concat(slices, ignore_index=True))
    with atomic_path(folder / "index.html") as temporary:
        values = {"study": study, "label": study.labels[model], "tiles": tiles}
        temporary.write_text(say("predict.html.j2", **values), encoding="utf-8")
    return table


def _row(answer: Answer, labels: dict[int, str]) -> dict:
    counted = answer.slices["counted"]
    return {
        "image": str(answer.path),
        "probability": answer.probability,
        "answer": labels[int(answer.probability > 0.5)],
        "slices": int(counted.sum()),
        "drawn_share": answer.slices.loc[counted, "drawn_share"].mean(),
        "mask": "",
    }


def _tile(answer: Answer) -> str:
    """The slice with most lesion drawn, or the middle one, with response and outline."""
    drawn = answer.slices["drawn_share"]
    row = int(drawn.to_numpy().argmax()) if drawn.notna().any() else len(drawn) // 2
    table = answer.slices.assign(patient=answer.path.name, label="not known")
    layers = [slice_layer(Slices(answer.images, answer.images > 0, table, (), ""), row)]
    if answer.responses is not None:
        layers += [response_layer(answer.responses[row]), lesion_layer(answer.responses[row] > 0.5)]
    return stacked(layers)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(path.suffix if not is_nifti(path) else ".nii")
