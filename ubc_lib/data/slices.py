"""Patient table -> training arrays: the slices of each patient with the largest lesion area."""

import hashlib
import io
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from ubc_lib.data.evidence import likenesses, telltales
from ubc_lib.data.gate import (
    Marks,
    check_box,
    check_copies,
    check_enough_patients,
    check_usable,
)
from ubc_lib.data.planes import fit_mask, fit_plane, prepare
from ubc_lib.data.readers import Reader, cohort_state, read_cohort, reader_of
from ubc_lib.data.volumes import PARTS, Volume, read_volume
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
    "mask_above",
    "mask_value",
    "mask_share_max",
    "without_lesion",
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
    left_out: patients with fewer slices than a study needs whose lesion can be seen.
    fingerprint: SHA-256 of images, masks and most of the table.
    findings: what else a reader should know of the cohort, in sentences.
    """

    images: np.ndarray
    masks: np.ndarray
    table: pd.DataFrame
    left_out: tuple[str, ...]
    fingerprint: str
    parts: np.ndarray | None = None
    findings: tuple[str, ...] = ()


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
    about, made = examine(study)
    check_usable(about)
    return assemble(study, about, made)


def assemble(study: Study, about: pd.DataFrame, made: dict) -> Slices:
    """The slices of all patients that can be used, together; see `examine`.

    Raises InputError for images that stand twice, and where too few patients are left.
    """
    usable = about[about["problem"].eq("")]
    left_out = tuple(name for name in usable["patient"].unique() if made[name] is None)
    made = [one for one in made.values() if one is not None]
    if not made:
        raise InputError(
            f"No patient of {study.name} can be used with {study.slices_per_patient} slices whose "
            f"lesion can be seen at {study.image_size} pixels. Lower slices_per_patient."
        )
    check_copies(usable)
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
    findings = (*telltales(usable), *likenesses(table, images))
    known = fingerprint(images, masks, table)
    return Slices(images, masks, table, left_out, known, parts, findings)


def examine(study: Study) -> tuple[pd.DataFrame, dict]:
    """Read a cohort: its patient table with what the files say, and the slices by patient.

    The table has the columns of `Volume.about` and `problem`, why a patient cannot be used. Slices:
    see `patient_slices`; None also for patients with a problem.
    """
    patients = [rows for _, rows in read_cohort(study).groupby("patient", sort=True)]
    reader = reader_of(study)
    work = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_examine_patient)(rows, study, reader) for rows in patients
    )
    work = list(progress_bar(work, total=len(patients), unit="patient", label="slices"))
    about = pd.concat([one for one, _ in work], ignore_index=True)
    return about, {one["patient"].iloc[0]: made for one, made in work}


def _examine_patient(rows: pd.DataFrame, study: Study, reader: Reader):
    try:
        volumes = read_patient(rows, study, reader)
        said = pd.DataFrame([one.about for one in volumes], index=rows.index)
        return rows.assign(**said, problem=""), patient_slices(rows, study, volumes)
    except InputError as error:
        return rows.assign(problem=str(error)), None


def read_patient(rows: pd.DataFrame, study: Study, reader: Reader) -> list[Volume]:
    """The volumes of one patient's rows of the patient table, each through the gate."""
    patient, label = rows[["patient", "label"]].iloc[0]
    marks = Marks(
        reader.mask_labels,
        study.mask_above,
        study.mask_value,
        study.mask_share_max,
        label,
        may_be_empty=label == study.without_lesion,
    )
    volumes = [
        read_volume(row.image, row.mask, patient, row.channel, marks) for row in rows.itertuples()
    ]
    if len(volumes) > 1 and any(len(volume.image) > 1 for volume in volumes):
        raise InputError(
            f"Patient {patient} has {len(volumes)} images, one of them a volume; a patient is one "
            "volume or several 2-D images."
        )
    if study.volumes == "boxes" and reader.heads:
        check_box(volumes[0].about, patient)
    return volumes


def patient_slices(rows: pd.DataFrame, study: Study, volumes: list[Volume] | None = None):
    """Images, masks, their parts and table rows of one patient, by slice index.

    None with too few slices. A slice without lesion has an area of 0, and is taken where the study
    says that its class has none: those that show most.
    """
    patient = rows["patient"].iloc[0]
    volumes = read_patient(rows, study, reader_of(study)) if volumes is None else volumes
    volumes = [prepare(volume, patient, study) for volume in volumes]
    healthy = not any(volume.mask.any() for volume in volumes)
    areas = [
        (float(area * np.prod(volume.pixel_mm)), number, index)
        for number, volume in enumerate(volumes)
        for index, area in enumerate(
            (volume.image if healthy else volume.mask).astype(bool).sum(axis=(1, 2))
        )
        if area
    ]
    candidates = sorted(
        (one for one in areas if healthy or one[0] >= study.smallest_lesion_mm2),
        key=lambda one: (-one[0], one[1:]),
    )
    visible = (
        one for one in candidates if healthy or fit_mask(volumes[one[1]].mask[one[2]], study).any()
    )
    largest = sorted(islice(visible, study.slices_per_patient), key=lambda one: one[1:])
    if len(largest) < study.slices_per_patient:
        return None
    images = np.stack([fit_plane(volumes[v].image[k], study) for _, v, k in largest])
    masks = np.stack([fit_mask(volumes[v].mask[k], study) for _, v, k in largest])
    parts = None
    if volumes[0].parts is not None:
        parts = np.stack(
            [[fit_mask(part[k], study) for part in volumes[v].parts] for _, v, k in largest]
        )
    label = rows["label"].iloc[0]
    table = pd.DataFrame(
        {
            "patient": patient,
            "label": label,
            "target": int(label == study.positive_label),
            "site": rows["site"].iloc[0],
            "slice_index": [v if len(volumes) > 1 else k for _, v, k in largest],
            "lesion_area_mm2": [0.0 if healthy else area for area, _, _ in largest],
            "lesion_fraction": masks.mean(axis=(1, 2)),
        }
    )
    return images, masks, parts, table


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
            findings=np.array(slices.findings, dtype=str),
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
            findings = tuple(map(str, stored["findings"])) if "findings" in stored else ()
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
    masks = masks.reshape(images.shape)
    return Slices(images, masks, table, left_out, fingerprint, parts, findings)
