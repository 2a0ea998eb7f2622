"""Shows a cohort before anything is trained on it: what its files say, and where masks lie."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ubc_lib.book.layers import lesion_layer, slice_layer, stacked
from ubc_lib.book.words import say
from ubc_lib.data.patients import examine
from ubc_lib.data.slices import Slices, assemble
from ubc_lib.results.runs import write_table
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path
from ubc_lib.system.progress import progress_bar


class Checked(NamedTuple):
    """What the gate says of a cohort.

    usable, patients: how many. problems: why patients, or all of them (""), cannot be used.
    left_out: patients with too few slices. findings: what to know besides.
    folder: of files.csv, a row per image (see `patients.examine`), and of index.html, a slice of
    each patient with its outline.
    """

    usable: int
    patients: int
    problems: dict[str, str]
    left_out: tuple[str, ...]
    findings: tuple[str, ...]
    folder: Path


def check_cohort(study: Study) -> Checked:
    """Put a cohort through the gate; a table and a page of outlines go to its run folder.

    Raises InputError only where no patient table can be made.
    """
    about, made = examine(study)
    refused = about[about["problem"].ne("")].drop_duplicates("patient")
    problems = dict(zip(refused["patient"], refused["problem"], strict=True))
    left_out = tuple(name for name in made if made[name] is None and name not in problems)
    findings: tuple[str, ...] = ()
    try:
        findings = assemble(study, about, made).findings
    except InputError as error:
        problems[""] = str(error)
    usable = {name: one for name, one in made.items() if one is not None}
    folder = study.run_folder / "check"
    checked = Checked(len(usable), len(made), problems, left_out, findings, folder)
    write_table(folder / "files.csv", about)
    bar = progress_bar(usable.items(), total=len(usable), unit="patient", label="outlines")
    tiles = {name: _tile(*one) for name, one in bar}
    with atomic_path(folder / "index.html") as path:
        path.write_text(say("check.html.j2", study=study, checked=checked, tiles=tiles))
    return checked


def _tile(images: np.ndarray, masks: np.ndarray, _, table: pd.DataFrame) -> str:
    """A patient's slice with most lesion, outlined, as the networks will be shown it."""
    row = int(masks.sum(axis=(1, 2)).argmax())
    slices = Slices(images, masks, table, (), "")
    return stacked([slice_layer(slices, row), lesion_layer(masks[row])])
