"""The training arrays of a cohort: made once from its patients' slices, and read from then on."""

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

from ubc_lib.data.evidence import in_colour, labels_together, likenesses, telltales
from ubc_lib.data.patients import examine
from ubc_lib.data.people import check_copies, check_enough_patients, check_units, check_usable
from ubc_lib.data.readers import cohort_state, reader_of
from ubc_lib.data.split import draw_split
from ubc_lib.data.volumes import PARTS
from ubc_lib.study import Study, with_younger
from ubc_lib.study.cohort import Cohort
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path, locked

# Of the table. They must stay as they are: with one more, or another name, no record of a run would
# be known any more.
FINGERPRINTED = {"patient": "patient", "label": "label", "target": "target", "site": "site"}
FINGERPRINTED |= {"slice_index": "slice_index", "lesion_area": "lesion_area_mm2"}

# The arrays depend on these; all else may change without reading volumes again.
DATA_SETTINGS = Cohort.model_fields.keys() - {"cohort_root", "outside_paths"}


@dataclass(frozen=True)
class Slices:
    """The slices of every patient of a cohort.

    images: float32 (n, image_size, image_size), normalised, 0 outside the brain.
    masks: bool, the same shape, True in any lesion label.
    parts: bool (n, 3, image_size, image_size), core, oedema and what enhances by themselves; None
    where masks have no labels of BraTS.
    table: one row per slice, in the same order: patient, label, target (1 for the positive
    label), site, slice_index (0-based, in the volume), lesion_area (in mm² or, where pixel_mm2 is
    NaN, in pixels), lesion_fraction (of the pixels of `masks`), pixel_mm2, channel, image (the
    name of its file), split (train or test where a manifest says so).
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
    the file belongs to other settings or another `cohort_root`.
    """
    path, root = _path(study), str(study.cohort_root and study.cohort_root.resolve())
    with locked(path.with_suffix(".lock")):
        state = cohort_state(study)
        if path.is_file():
            slices = read_slices(study)
            if state in ("", made_from(study)):
                return slices
            if (other := _noted(study, "cohort_root")) not in (None, "", root):
                raise InputError(
                    f"{path} was made from {other}, not from {root}. Give the study another name "
                    f"(name=…), or delete {path.parent} to begin again."
                )
        save_slices(make_slices(study), study, cohort_state=state, cohort_root=root)
    return read_slices(study)


def made_from(study: Study) -> str | None:
    """The state of the cohort that the slices in the run folder were made from; None without any.

    See `cohort_state`. Empty for slices of phantoms, and of versions that did not note it.
    """
    return _noted(study, "cohort_state")


def _path(study: Study) -> Path:
    return study.run_folder / "slices.npz"


def _noted(study: Study, name: str) -> str | None:
    try:
        with np.load(_path(study), allow_pickle=False) as stored:
            return str(stored[name]) if name in stored else ""
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
    shown = usable[usable["mask_share"].gt(0) | usable["label"].eq(study.without_lesion)]
    check_copies(shown)
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
    check_units(table, study)
    for seed in study.all_seeds if study.split != "halves" else ():
        draw_split(table, study, seed)
    parts = None if parts[0] is None else np.concatenate(parts)
    reader = reader_of(study)
    findings = [reader.caution, *telltales(shown), *likenesses(shown), *in_colour(shown)]
    if {study.mask_above, study.mask_value, reader.mask_above} == {None}:
        findings += labels_together(shown, parts is not None)
    known = fingerprint(images, masks, table)
    return Slices(images, masks, table, left_out, known, parts, tuple(filter(None, findings)))


def fingerprint(images: np.ndarray, masks: np.ndarray, table: pd.DataFrame) -> str:
    """SHA-256 of slices: records of runs are known by it, whatever else the table may hold.

    Arrays and table: see `Slices`.
    """
    digest = hashlib.sha256(images.tobytes())
    digest.update(np.packbits(masks).tobytes())
    told = table[[*FINGERPRINTED]].rename(columns=FINGERPRINTED)
    digest.update(told.to_csv(index=False).encode())
    if "split" in table and table["split"].fillna("").any():
        digest.update(table[["patient", "split"]].to_csv(index=False).encode())
    return digest.hexdigest()


def _settings(study: Study) -> str:
    return json.dumps(study.model_dump(mode="json", include=DATA_SETTINGS), sort_keys=True)


def save_slices(slices: Slices, study: Study, **notes: str) -> None:
    """Keep slices in the run folder of a study, with notes of where they come from."""
    with atomic_path(_path(study)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            images=slices.images.astype(np.float16),
            masks=np.packbits(slices.masks),
            parts=np.packbits(np.zeros(0, bool) if slices.parts is None else slices.parts),
            table=np.frombuffer(slices.table.to_csv(index=False).encode(), dtype=np.uint8),
            left_out=np.array(slices.left_out, dtype=str),
            settings=np.array(_settings(study)),
            **{name: np.array(note) for name, note in notes.items()},
            fingerprint=np.array(slices.fingerprint),
            findings=np.array(slices.findings, dtype=str),
        )


def _read_table(text: bytes) -> pd.DataFrame:
    """The table of slices as `Slices` has it, of whatever version."""
    texts = dict.fromkeys(("patient", "label", "site", "channel", "image", "split"), str)
    empty = {"keep_default_na": False, "na_values": {"pixel_mm2": [""]}}
    table = pd.read_csv(io.BytesIO(text), dtype=texts, **empty)
    table = table.rename(columns={"lesion_area_mm2": "lesion_area"})
    younger = {"pixel_mm2": 1.0, "channel": "", "image": "", "split": ""}
    return table.assign(**{name: value for name, value in younger.items() if name not in table})


def read_slices(study: Study) -> Slices:
    """The slices in the run folder, for those who only look: nothing is made or written.

    Raises InputError where there are none, or they are damaged or of other settings.
    """
    path = _path(study)
    if not path.is_file():
        raise InputError(f"{path} is not there. Run make study STUDY={study.name} first.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            settings = str(stored["settings"])
            images = stored["images"].astype(np.float32)
            masks = np.unpackbits(stored["masks"], count=images.size).astype(bool)
            parts = np.unpackbits(stored["parts"]).astype(bool) if "parts" in stored else None
            table = _read_table(stored["table"].tobytes())
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
