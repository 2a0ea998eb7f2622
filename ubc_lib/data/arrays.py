"""Arrays in memory -> the same slices as of files, through the same gate."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ubc_lib.data.slices import Slices, make_slices, save_slices
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError


def slices_of(
    study: Study,
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    labels: Sequence[str],
    patients: Sequence[str] | None = None,
) -> Slices:
    """The slices of a study, of 2-D images with masks, labels and whom they show.

    images: (rows, columns) each, of any size and real type, 0 outside. masks: of the same shapes.
    Without patients each image counts as one. The slices are kept in the study's run folder, for
    all that reads them later. Raises InputError, with the number of the image as in image_0003,
    where one cannot be used.
    """
    images, masks, labels = list(images), list(masks), list(labels)
    patients = [f"image {n}" for n in range(len(images))] if patients is None else list(patients)
    counts = [len(one) for one in (images, masks, labels, patients)]
    if len(set(counts)) > 1:
        raise InputError(f"images, masks, labels and patients differ in number: {counts}.")
    with tempfile.TemporaryDirectory(prefix="arrays-") as folder:
        rows = [
            {
                "patient": str(patient),
                "label": str(label),
                "image": _written(image, Path(folder), f"image_{n:04d}"),
                "mask": _written(mask, Path(folder), f"mask_{n:04d}"),
            }
            for n, (image, mask, label, patient) in enumerate(
                zip(images, masks, labels, patients, strict=True)
            )
        ]
        manifest = Path(folder) / "manifest.csv"
        pd.DataFrame(rows).to_csv(manifest, index=False)
        of_files = study.model_copy(update={"cohort": "manifest", "cohort_root": manifest})
        slices = make_slices(of_files)
    save_slices(slices, study)
    return slices


def _written(array: np.ndarray, folder: Path, name: str) -> str:
    array = np.asarray(array)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
        raise InputError(
            f"{name} has the shape {array.shape} and type {array.dtype}; a plane of real numbers "
            "is needed."
        )
    Image.fromarray(array.astype(np.float32)).save(folder / f"{name}.tiff")
    return f"{name}.tiff"
