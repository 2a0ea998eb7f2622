"""`make check` shows what a cohort's files are, and where their masks lie, before any training."""

import re

import numpy as np
import pandas as pd
import pytest

from tests.conftest import brain, lesion, tiny_study, write_patient
from ubc_lib.__main__ import main
from ubc_lib.book.check import check_cohort
from ubc_lib.study import Study


def test_a_sound_cohort_has_an_outline_of_each_patient(study):
    checked = check_cohort(study)
    assert (checked.usable, checked.patients, checked.problems) == (8, 8, {})
    page = (checked.folder / "index.html").read_text()
    assert page.count("<figure>") == page.count("Outline of the lesion") == 8
    files = pd.read_csv(checked.folder / "files.csv")
    assert files["mask_share"].between(0.005, 0.05).all()
    assert set(files["mode"]) == {"int16"}


def test_every_patient_that_cannot_be_used_is_named_at_once(tree, study):
    for name in ("BraTS19_SITE0_H0_1", "BraTS19_SITE1_H1_1"):
        write_patient(tree / "HGG" / name, seg=np.zeros_like(lesion()))
    checked = check_cohort(study)
    assert set(checked.problems) >= {"BraTS19_SITE0_H0_1", "BraTS19_SITE1_H1_1"}
    assert checked.usable == 6
    assert (checked.folder / "index.html").read_text().count("is empty, no lesion") == 2


def test_patients_with_too_few_slices_are_left_out_and_listed(tree):
    write_patient(tree / "HGG" / "BraTS19_SITE0_flat_1", seg=lesion(sizes=(0, 4)))
    checked = check_cohort(tiny_study(tree))
    assert checked.left_out == ("BraTS19_SITE0_flat_1",)
    assert not checked.problems


def test_an_image_that_stands_twice_is_a_problem_of_the_cohort(tree, study):
    write_patient(tree / "LGG" / "BraTS19_SITE0_L0_1", flair=brain(1))
    write_patient(tree / "LGG" / "BraTS19_SITE1_L1_1", flair=brain(1))
    assert "same image" in check_cohort(study).problems[""]


def test_a_cohort_of_nobody_is_a_problem_and_no_crash(tree, study):
    for folder in tree.glob("*/*"):
        write_patient(folder, seg=np.zeros_like(lesion()))
    checked = check_cohort(study)
    assert checked.usable == 0
    assert len(checked.problems) == 9


def test_names_of_a_cohort_are_text_on_the_page(tree, study):
    write_patient(tree / "HGG" / "BraTS19_<script>_1", seg=np.zeros_like(lesion()))
    page = (check_cohort(study).folder / "index.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page


SETTINGS = "name=tiny patients_per_class=4 slices_per_patient=2 images_per_class=[1] image_size=32"


def test_the_command_says_how_many_can_be_used(tree, capsys):
    main(["check", "brats2019", SETTINGS, "--cohort-root", str(tree)])
    said = capsys.readouterr().out
    assert re.search(r"^usable: 8 of 8 patients; 0 to look at$", said, re.MULTILINE)


def test_a_study_is_checked_before_anything_is_trained(tree, capsys):
    write_patient(tree / "HGG" / "BraTS19_SITE0_H0_1", seg=np.zeros_like(lesion()))
    with pytest.raises(SystemExit, match="Nothing is trained"):
        main(["study", "brats2019", SETTINGS, "--cohort-root", str(tree)])
    assert "BraTS19_SITE0_H0_1" in capsys.readouterr().out
    assert not (Study.load("brats2019", SETTINGS).run_folder / "notebooks").exists()
