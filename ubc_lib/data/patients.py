"""Patient table -> each patient's slices with the largest lesion area, through the gate."""

from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from ubc_lib.data.evidence import look
from ubc_lib.data.gate import Marks
from ubc_lib.data.people import COLUMNS, OWN_COLUMNS, check_box
from ubc_lib.data.planes import can_be_seen, fit_mask, fit_plane, prepare
from ubc_lib.data.readers import Reader, read_cohort, reader_of
from ubc_lib.data.volumes import Volume, read_volume
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.progress import progress_bar


def examine(study: Study) -> tuple[pd.DataFrame, dict]:
    """Read a cohort: its patient table with what the files say, and the slices by patient.

    The table has the columns of `Volume.about`, `look` (see `evidence.look`) and `problem`, why a
    patient cannot be used. Slices: see `patient_slices`; None also for patients with a problem.
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
        said = [one.about | {"look": look(one.image, one.mask)} for one in volumes]
        said = pd.DataFrame(said, index=rows.index)
        return rows.assign(**said, problem=""), patient_slices(rows, study, volumes)
    except InputError as error:
        return rows.assign(problem=str(error)), None


def read_patient(rows: pd.DataFrame, study: Study, reader: Reader) -> list[Volume]:
    """The volumes of one patient's rows of the patient table, each through the gate."""
    patient, label = rows[["patient", "label"]].iloc[0]
    said = study.mask_above is not None or study.mask_value is not None
    marks = Marks(
        reader.mask_labels,
        reader.knows_masks,
        study.mask_above if said else reader.mask_above,
        study.mask_value,
        study.mask_share_max,
        label,
        healthy=label == study.without_lesion,
        may_be_empty=reader.some_empty,
        rescaled=reader.rescaled,
    )
    volumes = [
        read_volume(row.image, row.mask, patient, row.channel, marks, row.pixel_mm)
        for row in _with_all_columns(rows).itertuples()
    ]
    if len(volumes) > 1 and any(len(volume.image) > 1 for volume in volumes):
        raise InputError(
            f"Patient {patient} has {len(volumes)} images, one of them a volume; a patient is one "
            "volume or several 2-D images."
        )
    if study.volumes == "boxes" and reader.heads:
        check_box(volumes[0].about, patient)
    return volumes


def _with_all_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a patient table with None for what it does not say, in columns that it lacks, too."""
    every = rows.reindex(columns=[*COLUMNS, *OWN_COLUMNS]).astype(object)
    return every.where(every.notna(), None)


def patient_slices(rows: pd.DataFrame, study: Study, volumes: list[Volume] | None = None):
    """Images, masks, their parts and table rows of one patient, by slice index.

    None with too few slices. A slice without lesion has an area of 0, and is taken where the study
    says that its class has none: those that show most.
    """
    patient = rows["patient"].iloc[0]
    volumes = read_patient(rows, study, reader_of(study)) if volumes is None else volumes
    healthy = rows["label"].iloc[0] == study.without_lesion
    volumes = [
        prepare(volume, patient, study) if healthy or volume.mask.any() else volume
        for volume in volumes
    ]
    known = all(volume.pixel_mm for volume in volumes)
    areas = [
        (float(area * np.prod((known and volume.pixel_mm) or 1)), number, index)
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
        one for one in candidates if healthy or can_be_seen(volumes[one[1]].mask[one[2]], study)
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
    sides = [volumes[v].pixel_mm if known else None for _, v, _ in largest]
    first = _with_all_columns(rows).iloc[0]
    table = pd.DataFrame(
        {
            "patient": patient,
            "label": first["label"],
            "target": int(first["label"] == study.positive_label),
            "site": first["site"],
            "slice_index": [v if len(volumes) > 1 else k for _, v, k in largest],
            "lesion_area": [0.0 if healthy else area for area, _, _ in largest],
            "lesion_fraction": masks.mean(axis=(1, 2)),
            "pixel_mm2": [np.prod(side) if side else np.nan for side in sides],
            "channel": first["channel"],
            "image": [Path(rows["image"].iloc[min(v, len(rows) - 1)]).name for _, v, _ in largest],
            "split": first["split"],
        }
    )
    return images, masks, parts, table
