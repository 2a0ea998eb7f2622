"""Who may take part in a cohort: nobody twice, and enough of each class."""

import re
import unicodedata

import pandas as pd

from ubc_lib.study import Study
from ubc_lib.system.errors import InputError

# Of the patient table that every reader gives.
COLUMNS = ["patient", "label", "site", "image", "mask", "channel"]
OWN_COLUMNS = ["split", "pixel_mm"]  # of a manifest, where it has them
LARGEST_BOX_MM = 120  # a brain is longer


def check_people(table: pd.DataFrame) -> None:
    """Raise InputError where patients of a patient table are one person, by their names."""
    patients = table.drop_duplicates("patient")
    for column, names in (("patient", patients["patient"]), ("label", patients["label"].unique())):
        known: dict[str, str] = {}
        for name in names:
            first = known.setdefault(same_name(name), name)
            if first != name:
                raise InputError(
                    f"The {column}s {first!r} and {name!r} differ in case, spaces, leading zeros, "
                    "invisible characters, or year or time point alone, so that one may stand on "
                    "both sides of a split. Give one name to what is one, and keep one volume of a "
                    "patient."
                )
    labels = table.groupby("patient")["label"].nunique()
    if (labels > 1).any():
        raise InputError(f"Patient {labels.idxmax()} has two labels; one is needed.")
    if table["label"].isna().any() or table["label"].eq("").any():
        where = table["label"].isna() | table["label"].eq("")
        raise InputError(f"Patient {table.loc[where, 'patient'].iloc[0]} has no label.")


# Cyrillic letters that look like Latin ones.
LOOKALIKES = str.maketrans("авекмнорстухі", "abekmhopctyxi")
# What of a name says when or where in a patient an image was taken, not who he is.
TIMES = (
    r"[-_. ](ses|session|run|slice|frame|visit|timepoint|tp)[-_. ]?\d+",
    r"(?<=^brats-[a-z]{3}-\d{5})-\d{3}$",
    r"(?<=^upenn-gbm-\d{5})_\d+$",
    r"(_fu\d+d)?_nifti$",
    r"^brats1\d_(?!training)",
)


def same_name(name: str) -> str:
    """What spellings of one patient's name have in common.

    BraTS names the same scans by the year, and a part of a name may be a time point or a slice.
    Between two numbers a separator counts, elsewhere it does not.
    """
    text = unicodedata.normalize("NFKC", name).casefold().translate(LOOKALIKES)
    text = "".join(one for one in text if unicodedata.category(one)[0] != "C")
    text = re.sub(r"^brats2021_", "brats-gli-", text.strip(" '"))
    for pattern in TIMES:
        text = re.sub(pattern, "", text)
    text = re.sub(r"^(\d+)\.0+$", r"\1", text)  # a number as a spreadsheet may save it
    text = re.sub(r"(?<=\d)[-_ ]+(?=\d)", "_", text)
    text = re.sub(r"(?<!\d)[-_. ]+|[-_. ]+(?!\d)", "", text)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", text)


def check_usable(about: pd.DataFrame) -> None:
    """Raise InputError with the first problem of a cohort's images, and whose others there are.

    about: see `patients.examine`.
    """
    problems = about[about["problem"].ne("")].drop_duplicates("patient")
    if len(problems):
        others = ", ".join(problems["patient"][1:6]) + (", …" if len(problems) > 6 else "")
        more = f" {len(problems) - 1} more patients cannot be used: {others}; make check lists all."
        raise InputError(problems["problem"].iloc[0] + (more if others else ""))


def check_copies(about: pd.DataFrame) -> None:
    """Raise InputError where two images of a cohort are the same, by their values.

    about: `Volume.about` of every image, with patient and image.
    """
    twice = about[about.duplicated(["digest"], keep=False)].sort_values("digest", kind="stable")
    if len(twice):
        one, other = twice.iloc[0], twice.iloc[1]
        raise InputError(
            f"{one['image']} of patient {one['patient']} and {other['image']} of patient "
            f"{other['patient']} are the same image, value by value ({len(twice)} files of the "
            "cohort stand twice or more). Keep one of each."
        )


def check_positive_label(table: pd.DataFrame, study: Study) -> None:
    """Raise InputError where no patient of a patient table has a label that a study names."""
    labels = sorted(table["label"].unique())
    for setting in ("positive_label", "without_lesion"):
        label = getattr(study, setting)
        if label and label not in labels:
            raise InputError(
                f"{setting} is {label!r}, but the cohort {study.cohort_root or study.cohort} holds "
                f"the labels {labels}. Set {setting} to one of them."
            )


def check_enough_patients(table: pd.DataFrame, study: Study, left_out: tuple[str, ...]) -> None:
    """Raise InputError where a class has fewer patients than the study asks for."""
    counts = table.drop_duplicates("patient")["label"].value_counts()
    needed = study.patients_per_class if study.split == "halves" else 1
    listed = f" ({len(left_out)} left out: {', '.join(left_out)})" if left_out else ""
    for label in sorted(counts.index):
        if counts[label] < needed:
            raise InputError(
                f"Study {study.name} asks for {study.patients_per_class} patients per class, but "
                f"{label} has {counts[label]} with {study.slices_per_patient} slices whose lesion "
                f"can be seen at {study.image_size} pixels{listed}. Lower patients_per_class."
            )
    if len(counts) != 2:
        raise InputError(f"Study {study.name}: all usable patients are {counts.index[0]}{listed}.")


def check_units(table: pd.DataFrame, study: Study) -> None:
    """Raise InputError where sizes in millimetres are asked for and some images state none.

    table: see `Slices.table`.
    """
    unknown = table[table["pixel_mm2"].isna()]
    asked = [name for name in ("smallest_lesion_mm2",) if getattr(study, name)]
    asked += ["view=lesion"] if study.view == "lesion" else []
    if asked and 0 < len(unknown) < len(table):
        raise InputError(
            f"Study {study.name}: {asked[0]} needs the millimetres of a pixel of all images, or of "
            f"none; {len(unknown)} of {len(table)} slices state none, one of patient "
            f"{unknown['patient'].iloc[0]}. Fill the manifest's column pixel_mm."
        )


def check_sites(table: pd.DataFrame) -> None:
    """Raise InputError where sites of a patient table cannot be told apart, to test one alone."""
    sites = table.dropna(subset="site").groupby("patient")["site"].nunique()
    if (sites > 1).any():
        raise InputError(f"split=site: patient {sites.idxmax()} was imaged at several sites.")
    known: dict[str, str] = {}
    for site in table["site"].dropna().unique():
        if known.setdefault(same_name(site), site) != site:
            raise InputError(
                f"split=site: the sites {known[same_name(site)]!r} and {site!r} may be one. Give "
                "one name to what is one."
            )


def check_box(about: dict, patient: str) -> None:
    """Raise InputError where a cohort of boxes around lesions holds a whole head."""
    height, width = (about[side] * (about["pixel_mm"] or 1) for side in ("height", "width"))
    if max(height, width) > LARGEST_BOX_MM:
        raise InputError(
            f"Patient {patient} measures {height:.0f} x {width:.0f} mm, a whole head; the study's "
            "`volumes: boxes` needs images cut around the lesion beforehand. Set volumes=whole, "
            "and view=lesion to cut the boxes here."
        )
