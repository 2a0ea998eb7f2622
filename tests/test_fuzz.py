"""Whatever bytes a stranger sends: an image, a manifest, a study or a record is read, or refused
with a message of our own. UBC_FUZZ sets the number of inputs of each kind."""

import gzip
import io
import json
import os
import struct
import tempfile
from hashlib import sha256
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import LPS, brain, lesion, tiny_study
from tests.records import made_record
from ubc_lib.data.manifest import read_manifest
from ubc_lib.data.patients import patient_slices
from ubc_lib.data.volumes import read_volume
from ubc_lib.results.record import check_record, read_record, write_record
from ubc_lib.results.runs import tidy
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.settings import parse_settings, read_yaml
from ubc_lib.training.checkpoint import Checkpoint, Progress

fuzzed = settings(
    max_examples=int(os.environ.get("UBC_FUZZ", "200")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
SMALL = (8, 8, 4)
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def reads_or_refuses(read, *arguments):
    """The result of reading, or None where it was refused; any other error is a failure."""
    try:
        return read(*arguments)
    except InputError as error:
        assert str(error)
        return None


def spoiled(data: st.DataObject, original: bytes, within: int | None = None) -> bytes:
    """Bytes with some of them overwritten, and perhaps cut off or lengthened."""
    spoilt = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, (within or len(spoilt)) - 1))
        change = data.draw(st.binary(min_size=1, max_size=8))
        spoilt[place : place + len(change)] = change
    end = data.draw(st.one_of(st.none(), st.integers(0, len(spoilt))))
    return bytes(spoilt[:end])


def nifti(values: np.ndarray, kind=nib.Nifti1Image) -> bytes:
    return kind(values, LPS).to_bytes()


IMAGE, MASK = nifti(brain(shape=SMALL)), nifti(lesion((2, 4), shape=SMALL))
FIELDS = {"dim": (40, "8h"), "datatype": (70, "2h"), "pixdim": (76, "8f"), "offset": (108, "3f")}
FIELDS |= {"sform": (252, "2h"), "affine": (280, "12f")}


@fuzzed
@given(data=st.data(), second=st.booleans())
def test_nifti_of_any_bytes(folder, data, second):
    original = nifti(brain(shape=SMALL), nib.Nifti2Image) if second else IMAGE
    image, mask = folder / "image.nii", folder / "mask.nii"
    image.write_bytes(spoiled(data, original, within=540 if second else 352))
    mask.write_bytes(MASK)
    reads_or_refuses(read_volume, image, mask, "P")


def picture(values: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


@fuzzed
@given(data=st.data(), kind=st.sampled_from(["PNG", "TIFF", "JPEG", "BMP", "GIF", "WEBP"]))
def test_pictures_of_any_bytes(folder, data, kind):
    values = brain(shape=SMALL)[:, :, 2].astype(np.uint8)
    good, image, mask = picture(values, "PNG"), folder / "image.png", folder / "mask.png"
    image.write_bytes(spoiled(data, picture(values, kind)))
    mask.write_bytes(good)
    reads_or_refuses(read_volume, image, mask, "P")
    image.write_bytes(good)
    mask.write_bytes(spoiled(data, picture(np.uint8(255 * (values > 100)), kind)))
    reads_or_refuses(read_volume, image, mask, "P")


@fuzzed
@given(data=st.data())
def test_exported_slices_of_any_bytes(folder, data):
    path = folder / "slice.h5"
    with h5py.File(path, "w") as file:
        file["image"], file["mask"] = np.ones((8, 8, 4)), np.ones((8, 8, 3), np.uint8)
    path.write_bytes(spoiled(data, path.read_bytes()))
    reads_or_refuses(read_volume, path, path, "P", "FLAIR")


def workbook() -> bytes:
    file = io.BytesIO()
    pd.DataFrame({"patient": ["p"], "label": ["a"], "image": [1], "mask": [None]}).to_excel(file)
    return file.getvalue()


WORKBOOK = workbook()  # it holds the time


@fuzzed
@given(data=st.data())
def test_workbooks_of_any_bytes(folder, data):
    path = folder / "any.xlsx"
    path.write_bytes(spoiled(data, WORKBOOK))
    reads_or_refuses(read_manifest, path)


@fuzzed
@given(data=st.data(), field=st.sampled_from(sorted(FIELDS)), packed=st.booleans())
def test_nifti_of_any_header(folder, data, field, packed):
    place, layout = FIELDS[field]
    number = st.integers(-(2**15), 2**15 - 1) if layout[-1] == "h" else st.floats(width=32)
    values = data.draw(st.lists(number, min_size=int(layout[:-1]), max_size=int(layout[:-1])))
    both = []
    for name, original in (("image", IMAGE), ("mask", MASK)):
        spoilt = bytearray(original)
        struct.pack_into("<" + layout, spoilt, place, *values)
        path = folder / (f"{name}.nii.gz" if packed else f"{name}.nii")
        path.write_bytes(gzip.compress(spoilt, 1) if packed else bytes(spoilt))
        both.append(path)
    table = read_manifest_of(folder, *both)
    for view in ("lesion", "whole"):
        study = tiny_study(
            cohort="manifest", view=view, slices_per_patient=1, images_per_class=(1,)
        )
        reads_or_refuses(patient_slices, table, study)


def read_manifest_of(folder: Path, image: Path, mask: Path):
    text = (
        f"patient,label,image,mask\nP,a,{image.name},{mask.name}\nQ,b,{image.name},{image.name}\n"
    )
    (folder / "manifest.csv").write_text(text)
    return read_manifest(folder / "manifest.csv").iloc[:1]


cells = st.one_of(
    st.sampled_from(["p1", "p2", "a", "b", "x.png", "../x.png", "/etc/passwd", "", '"', "\0", "é"]),
    st.text(max_size=12),
    st.just("a" * 300),
)


@fuzzed
@given(
    header=st.one_of(
        st.just("patient,label,image,mask"), st.lists(cells, max_size=5).map(",".join)
    ),
    rows=st.lists(st.lists(cells, max_size=7).map(",".join), max_size=5),
    raw=st.one_of(st.none(), st.binary(max_size=200)),
)
def test_manifest_of_any_text(folder, header, rows, raw):
    (folder / "x.png").write_bytes(b"")
    path = folder / "any.csv"
    path.write_bytes("\n".join([header, *rows]).encode("utf-8", "replace") if raw is None else raw)
    table = reads_or_refuses(read_manifest, path)
    if table is not None:
        inside = folder.resolve()
        files = [*table["image"], *table["mask"]]
        assert all(file.resolve().is_relative_to(inside) for file in files)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["1e400", "2001-99-99", "!!int ''", "&a [*a]", "!!python/name:os.system", "="]),
)
values = st.recursive(scalars, lambda one: st.lists(one, max_size=4), max_leaves=6)


@fuzzed
@given(
    fields=st.dictionaries(st.sampled_from(sorted(Study.model_fields)), values, max_size=6),
    tail=st.one_of(st.just(""), st.text(max_size=40)),
    raw=st.one_of(st.none(), st.binary(max_size=120)),
)
def test_study_of_any_text(folder, fields, tail, raw):
    path = folder / "study.yaml"
    lines = [f"{key}: {value}" for key, value in fields.items()]
    text = "\n".join(["title: any", "cohort: phantom", "images_per_class: [1]", *lines, tail])
    path.write_bytes(text.encode("utf-8", "replace") if raw is None else raw)
    given_fields = reads_or_refuses(read_yaml, path)
    if given_fields is not None:
        described = {"name": "any", "seeds": [0]} | given_fields
        reads_or_refuses(lambda: Study.create(described, source="any.yaml"))


@fuzzed
@given(text=st.one_of(st.text(max_size=60), values.map(lambda value: f"epochs={value}")))
def test_settings_of_any_text(text):
    reads_or_refuses(parse_settings, text)
    reads_or_refuses(Study.load, "quick", text)


plain_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda one: st.one_of(
        st.lists(one, max_size=3), st.dictionaries(st.text(max_size=6), one, max_size=3)
    ),
    max_leaves=5,
)


@fuzzed
@given(data=st.data())
def test_record_of_any_content(folder, data):
    """Also with a checksum that fits, which anyone can compute."""
    study = tiny_study()
    record = made_record(study)
    place = record
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            break
        place = place[key]
    if data.draw(st.booleans()):
        place[key] = data.draw(plain_json)
    else:
        del place[key]
    path = folder / "record.json"
    text = json.dumps(record)
    path.write_text(json.dumps(record | {"checksum": sha256(text.encode()).hexdigest()}))
    found = reads_or_refuses(read_record, path)
    if found is not None:
        reads_or_refuses(check_record, found, study, None, path)
        reads_or_refuses(tidy, [found])


@fuzzed
@given(data=st.data())
def test_record_of_any_bytes(folder, data):
    whole, path = made_record(tiny_study()), folder / "record.json"
    write_record(path, whole)
    text = path.read_bytes()
    path.write_bytes(data.draw(st.one_of(st.just(spoiled(data, text)), st.binary(max_size=99))))
    found = reads_or_refuses(read_record, path)
    assert found is None or found == whole


@fuzzed
@given(data=st.data())
def test_checkpoint_of_any_bytes(folder, data):
    model, path = torch.nn.Linear(2, 2), folder / "run.pt"
    optimizer = torch.optim.Adam(model.parameters())
    kept = Checkpoint(path, "x")
    kept.write(model, optimizer, Progress([{"epoch": 1, "loss": 0.5}]))
    whole = path.read_bytes()
    path.write_bytes(data.draw(st.one_of(st.just(spoiled(data, whole)), st.binary(max_size=99))))
    reads_or_refuses(kept.resume, model, optimizer)
