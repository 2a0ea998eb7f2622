"""Images that are already in memory."""

import re

import numpy as np
import pytest

from tests.conftest import tiny_study
from ubc_lib.data.arrays import slices_of
from ubc_lib.data.slices import read_slices
from ubc_lib.study.files import ROOT
from ubc_lib.system.errors import InputError

SETTINGS = {"cohort": "manifest", "positive_label": "b", "image_size": 32, "normalisation": "none"}
STUDY = tiny_study(**SETTINGS, slices_per_patient=1, images_per_class=(2,))


def arrays(count: int = 8, side: int = 32):
    rng = np.random.default_rng(0)
    images = rng.uniform(1, 2, size=(count, side, side))
    masks = np.zeros((count, side, side), bool)
    masks[:, 4:12, 16:26] = True
    return images, masks, ["a", "b"] * (count // 2)


def test_arrays_become_slices_as_they_lie():
    images, masks, labels = arrays()
    slices = slices_of(STUDY, images, masks, labels)
    assert slices.images == pytest.approx(images, abs=1e-3)
    assert np.array_equal(slices.masks, masks)
    assert slices.table["target"].tolist() == [0, 1] * 4
    assert slices.table["pixel_mm2"].isna().all()
    assert read_slices(STUDY).fingerprint == slices.fingerprint


def test_images_of_one_patient_stay_together():
    images, masks, _ = arrays(16)
    patients = [f"p{n // 2}" for n in range(16)]
    labels = ["ab"[n // 2 % 2] for n in range(16)]
    study = STUDY.model_copy(update={"slices_per_patient": 2})
    slices = slices_of(study, images, masks, labels, patients)
    assert slices.table["patient"].tolist() == patients


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, m, la: (i, m[:-1], la), r"differ in number: \[8, 7, 8, 8\]"),
        (lambda i, m, la: (i[None], m[None], la[:1]), r"image_0000 has the shape \(8, 32, 32\)"),
        (lambda i, m, la: (i, ~(m & False), la), r"mask_0000\.tiff marks 100%"),
        (lambda i, m, la: (np.where(i > 1.99, np.nan, i), m, la), r"image_000\d\.tiff holds NaN"),
        (lambda i, m, la: (i, m[:, :16], la), "differ in shape"),
    ],
)
def test_what_no_network_can_learn_is_refused_with_its_number(change, message):
    with pytest.raises(InputError, match=message):
        slices_of(STUDY, *change(*arrays()))


@pytest.mark.slow
def test_the_ten_lines_of_the_readme_train_both_models(tmp_path, monkeypatch, capsys):
    images, masks, labels = arrays(16)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(code.splitlines()) <= 12
    small = {"epochs=60": "epochs=2", "patients_per_class=20": "patients_per_class=8"}
    small |= {"image_size=96": "image_size=32", "images_per_class=[10]": "images_per_class=[2]"}
    for written, less in small.items():
        assert written in code
        code = code.replace(written, less)
    names = {"images": images, "masks": masks, "patients": [f"p{n}" for n in range(16)]}
    exec(code, names | {"labels": [{"a": "benign", "b": "malignant"}[one] for one in labels]})
    assert "difference" in capsys.readouterr().out
