"""Patient table -> training arrays: the slices of each patient with the largest lesion area."""

import hashlib
import io
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image
from scipy import ndimage

from ubc_lib.data.gate import check_box, check_enough_patients
from ubc_lib.data.readers import Reader, cohort_state, read_cohort, reader_of
from ubc_lib.data.volumes import LARGEST_SIDE, PARTS, Volume, read_volume
from ubc_lib.study import Study, with_younger
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path, locked
from ubc_lib.system.progress import progress_bar

# Of the table. They must stay as they are: with one more, or another name, no record of a run would
# be known any more.
FINGERPRINTED = ["patient", "label", "target", "site", "slice_index", "lesion_area_mm2"]

# The settings that the arrays depend on; the others may change without reading volumes again.
DATA_SETTINGS = (
    "cohort",
    "sites",
    "smallest_lesion_mm2",
    "patients_per_class",
    "positive_label",
    "slices_per_patient",
    "phantom",
    "phantom_amplitude",
    "phantom_count",
    "phantom_seed",
    "site_confounding",
    "view",
    "box_mm",
    "fit",
    "image_size",
    "normalisation",
)


@dataclass(frozen=True)
class Slices:
    """The slices of every patient of a cohort.

    images: float32 (n, image_size, image_size), normalised, 0 outside the brain.
    masks: bool, the same shape, True in any lesion label.
    parts: bool (n, 3, image_size, image_size), core, oedema and what enhances by themselves; None
    where masks have no labels of BraTS.
    table: one row per slice, in the same order: patient, label, target (1 for the positive
    label), site, slice_index (0-based, in the volume), lesion_area_mm2, lesion_fraction (of the
    pixels of `masks`).
    left_out: patients with fewer lesion slices than a study needs.
    fingerprint: SHA-256 of images, masks and most of the table.
    """

    images: np.ndarray
    masks: np.ndarray
    table: pd.DataFrame
    left_out: tuple[str, ...]
    fingerprint: str
    parts: np.ndarray | None = None


def load_slices(study: Study) -> Slices:
    """The slices of a study: read from its run folder, or made from its cohort the first time.

    They are made anew once files of `cohort_root`, where it is given, have changed; runs of other
    data are then told by the fingerprint. Raises InputError where the cohort cannot be used, or
    the file belongs to other settings.
    """
    path = study.run_folder / "slices.npz"
    with locked(path.with_suffix(".lock")):
        state = cohort_state(study)
        if path.is_file():
            slices = _read(study, path)
            if state in ("", made_from(study)):
                return slices
        _save(make_slices(study), study, state, path)
    return _read(study, path)


def made_from(study: Study) -> str | None:
    """The state of the cohort that the slices in the run folder were made from; None without any.

    See `cohort_state`. Empty for slices of phantoms, and of versions that did not note it.
    """
    try:
        with np.load(study.run_folder / "slices.npz", allow_pickle=False) as stored:
            return str(stored["cohort_state"]) if "cohort_state" in stored else ""
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile):
        return None


def make_slices(study: Study) -> Slices:
    """Read every volume of the cohort and take from each patient the slices with most lesion."""
    patients = [rows for _, rows in read_cohort(study).groupby("patient", sort=True)]
    reader = reader_of(study)
    work = Parallel(n_jobs=-1, return_as="generator")(
        delayed(patient_slices)(rows, study, reader) for rows in patients
    )
    made = list(progress_bar(work, total=len(patients), unit="patient", label="slices"))
    left_out = tuple(
        rows["patient"].iloc[0] for rows, one in zip(patients, made, strict=True) if one is None
    )
    made = [one for one in made if one is not None]
    if not made:
        raise InputError(
            f"No patient of {study.name} has {study.slices_per_patient} slices with lesion. "
            "Lower slices_per_patient."
        )
    images, masks, parts, tables = zip(*made, strict=True)
    images = np.concatenate(images).astype(np.float16).astype(np.float32)
    if not np.isfinite(images).all():
        raise InputError(
            f"Study {study.name}: intensities are too large to store without normalisation; set "
            "normalisation to volume or slice."
        )
    masks = np.concatenate(masks)
    table = pd.concat(tables, ignore_index=True)
    check_enough_patients(table, study, left_out)
    parts = None if parts[0] is None else np.concatenate(parts)
    return Slices(images, masks, table, left_out, fingerprint(images, masks, table), parts)


def patient_slices(rows: pd.DataFrame, study: Study, reader: Reader | None = None):
    """Images, masks, their parts and table rows of one patient, by slice index.

    None with too few slices.
    """
    patient, reader = rows["patient"].iloc[0], reader or reader_of(study)
    volumes = [
        read_volume(row.image, row.mask, patient, row.channel, reader.mask_labels)
        for row in rows.itertuples()
    ]
    if len(volumes) > 1 and any(len(volume.image) > 1 for volume in volumes):
        raise InputError(
            f"Patient {patient} has {len(volumes)} images, one of them a volume; a patient is one "
            "volume or several 2-D images."
        )
    if study.volumes == "boxes" and reader.heads:
        check_box(volumes[0], patient)
    volumes = [_prepare(volume, patient, study) for volume in volumes]
    areas = [
        (float(area * np.prod(volume.pixel_mm)), number, index)
        for number, volume in enumerate(volumes)
        for index, area in enumerate(volume.mask.sum(axis=(1, 2)))
        if area
    ]
    candidates = [one for one in areas if one[0] >= study.smallest_lesion_mm2]
    if len(candidates) < study.slices_per_patient:
        return None
    largest = sorted(candidates, key=lambda one: (-one[0], one[1:]))[: study.slices_per_patient]
    largest.sort(key=lambda one: one[1:])
    images = np.stack([_fit(volumes[v].image[k], study) for _, v, k in largest])
    masks = np.stack([_fit_mask(volumes[v].mask[k], study) for _, v, k in largest])
    parts = None
    if volumes[0].parts is not None:
        parts = np.stack(
            [[_fit_mask(part[k], study) for part in volumes[v].parts] for _, v, k in largest]
        )
    label = rows["label"].iloc[0]
    table = pd.DataFrame(
        {
            "patient": patient,
            "label": label,
            "target": int(label == study.positive_label),
            "site": rows["site"].iloc[0],
            "slice_index": [v if len(volumes) > 1 else k for _, v, k in largest],
            "lesion_area_mm2": [area for area, _, _ in largest],
            "lesion_fraction": masks.mean(axis=(1, 2)),
        }
    )
    return images, masks, parts, table


def _prepare(volume: Volume, patient: str, study: Study) -> Volume:
    """Normalise and, for the lesion view, cut the box; both on the full-resolution volume."""
    image, mask, parts = volume.image, volume.mask, volume.parts
    if study.normalisation != "none":
        axes = (1, 2) if study.normalisation == "slice" else None
        brain = image != 0
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = image.mean(axis=axes, where=brain, keepdims=True)
            deviation = image.std(axis=axes, where=brain, keepdims=True)
            image = np.where(brain & (deviation > 0), (image - mean) / deviation, 0)
        if not image.any():
            raise InputError(f"Patient {patient}: the image is constant, nothing can be learnt.")
    if study.view == "lesion":
        for axis, start, length in _lesion_box(volume, study.box_mm):
            image, mask = (_window(array, axis, start, length) for array in (image, mask))
            parts = None if parts is None else _window(parts, axis + 1, start, length)
    return Volume(image.astype(np.float32), mask, volume.pixel_mm, parts)


def _lesion_box(volume: Volume, box_mm: float) -> list[tuple[int, int, int]]:
    """Axis, start and length of an in-plane square centred on the largest lesion component."""
    components, _ = ndimage.label(volume.mask)
    largest = np.bincount(components.ravel())[1:].argmax()
    _, *bounds = ndimage.find_objects(components)[largest]
    lengths = [max(1, round(min(box_mm / pixel, LARGEST_SIDE))) for pixel in volume.pixel_mm]
    return [
        (axis, (bound.start + bound.stop - length) // 2, length)
        for axis, (bound, length) in enumerate(zip(bounds, lengths, strict=True), start=1)
    ]


def _window(array: np.ndarray, axis: int, start: int, length: int) -> np.ndarray:
    """`length` elements along an axis from `start`; zeros where that lies outside."""
    before, after = max(0, -start), max(0, start + length - array.shape[axis])
    padded = np.pad(array, [(before, after) if i == axis else (0, 0) for i in range(array.ndim)])
    return padded.take(range(start + before, start + before + length), axis=axis)


def _fit(plane: np.ndarray, study: Study) -> np.ndarray:
    """One slice as a float32 square of image_size, by antialiased resizing or central cropping."""
    side = max(plane.shape) if study.fit == "resize" else study.image_size
    for axis in (0, 1):
        plane = _window(plane, axis, (plane.shape[axis] - side) // 2, side)
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    size = (study.image_size, study.image_size)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def _fit_mask(plane: np.ndarray, study: Study) -> np.ndarray:
    return _fit(plane.astype(np.float32), study) >= 0.5


def fingerprint(images: np.ndarray, masks: np.ndarray, table: pd.DataFrame) -> str:
    """SHA-256 of slices: records of runs are known by it, whatever else the table may hold.

    Arrays and table: see `Slices`.
    """
    digest = hashlib.sha256(images.tobytes())
    digest.update(np.packbits(masks).tobytes())
    digest.update(table[FINGERPRINTED].to_csv(index=False).encode())
    return digest.hexdigest()


def _settings(study: Study) -> str:
    return json.dumps(study.model_dump(mode="json", include=set(DATA_SETTINGS)), sort_keys=True)


def _save(slices: Slices, study: Study, state: str, path: Path) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            images=slices.images.astype(np.float16),
            masks=np.packbits(slices.masks),
            parts=np.packbits(np.zeros(0, bool) if slices.parts is None else slices.parts),
            table=np.frombuffer(slices.table.to_csv(index=False).encode(), dtype=np.uint8),
            left_out=np.array(slices.left_out, dtype=str),
            settings=np.array(_settings(study)),
            cohort_state=np.array(state),
            fingerprint=np.array(slices.fingerprint),
        )


def _read(study: Study, path: Path) -> Slices:
    try:
        with np.load(path, allow_pickle=False) as stored:
            settings = str(stored["settings"])
            images = stored["images"].astype(np.float32)
            masks = np.unpackbits(stored["masks"], count=images.size).astype(bool)
            parts = np.unpackbits(stored["parts"]).astype(bool) if "parts" in stored else None
            table = pd.read_csv(
                io.BytesIO(stored["table"].tobytes()),
                dtype={"patient": str, "label": str, "site": str},
                keep_default_na=False,
            )
            left_out, fingerprint = tuple(map(str, stored["left_out"])), str(stored["fingerprint"])
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}). Delete it; it is made anew.") from error
    new = json.loads(_settings(study))
    old = with_younger(json.loads(settings), new)
    if old != new:
        changed = "; ".join(
            f"{key}: {old[key]} -> {new[key]}" for key in new if old[key] != new[key]
        )
        raise InputError(
            f"{path} was made with other settings ({changed}). Give the study a new name, or "
            f"delete {path.parent} to begin again."
        )
    if parts is not None:
        shape = len(images), len(PARTS), *images.shape[1:]
        parts = parts[: math.prod(shape)].reshape(shape) if len(parts) else None
    return Slices(images, masks.reshape(images.shape), table, left_out, fingerprint, parts)
