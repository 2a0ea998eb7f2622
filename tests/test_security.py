"""Nothing that is read can run code, and no name of a patient or class becomes markup."""

import dataclasses
import gzip
import html
import io
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pandas as pd
import pytest

from tests.book_samples import EVALUATED, HOSTILE, book_pages, built_book
from tests.conftest import brain, lesion, tiny_study, write_nifti
from tests.result_samples import some_slices
from ubc_lib.book.tables import show
from ubc_lib.book.widgets import slice_explorer
from ubc_lib.book.words import tell
from ubc_lib.data.manifest import read_manifest
from ubc_lib.data.volumes import read_volume
from ubc_lib.figures.curves import areas_by_class
from ubc_lib.figures.slices import response_grid, slice_grid
from ubc_lib.results.tables import sites
from ubc_lib.study.files import ROOT
from ubc_lib.system.errors import InputError

SCRIPT = "<script>alert(1)</script>"
LINK = "[a](javascript:alert(1))"
# What would let a file that is read run code; torch.load is safe with weights_only=True alone.
DANGEROUS = re.compile(
    r"\b(pickle|marshal|shelve|dill|joblib\.load|read_pickle|os\.system)\b\s*[.(]"
    r"|(?<!\.)\b(eval|exec)\("
    r"|^\s*(import|from) (pickle|marshal|shelve|dill)"
    r"|allow_pickle=True|yaml\.(unsafe_|full_)?load\(|torch\.load\((?![^)]*weights_only=True)"
    r"|shell=True",
    re.MULTILINE,
)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("ubc_lib/**/*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_reader_can_run_what_it_reads(path):
    text = path.read_text(encoding="utf-8")
    assert not DANGEROUS.search(text)


@pytest.mark.parametrize(
    "line",
    ["torch.load(path)", "yaml.load(text)", "import pickle", "np.load(f, allow_pickle=True)"],
)
def test_the_search_finds_what_it_looks_for(line):
    assert DANGEROUS.search(line)


@pytest.fixture
def hostile():
    """Slices whose patients, classes and sites are called like a script."""
    slices = some_slices()
    table = slices.table.assign(site=SCRIPT)
    for column in ("patient", "label"):
        table[column] = table[column] + SCRIPT
    return dataclasses.replace(slices, table=table, left_out=(SCRIPT,))


def test_tables_show_names_as_text(hostile):
    table = sites(hostile.table).assign(patient=SCRIPT)
    text = show(table, SCRIPT).data
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 5  # two classes, site, patient, and what it is called


def test_sentences_show_names_as_text(hostile):
    patients = hostile.table.groupby("label")["patient"].nunique()
    values = {"patients": patients, "left_out": hostile.left_out}
    values["findings"] = (SCRIPT,)
    text = tell("membership", study=tiny_study(), **values).data
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4


def test_names_are_no_markup():
    text = tell("membership", study=tiny_study(), patients={}, left_out=(LINK,), findings=()).data
    assert r"\[a\](javascript:alert(1))" in text


def test_figures_show_names_as_text_and_set_no_formula():
    slices = some_slices()
    slices.table["label"] = slices.table["label"] + r"$\nothing$" + SCRIPT
    answers = slices.table.assign(model="m", probability=0.9)
    rows = np.arange(2)
    for figure in (
        slice_grid(slices, rows),
        response_grid(slices, rows, {"m": slices.masks[rows]}, answers, {}),
        areas_by_class(slices.table),
    ):
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg")
        assert r"HGG$\nothing$&lt;script&gt;" in drawn.getvalue()
        assert "<script" not in drawn.getvalue()


def test_widgets_show_names_as_text(hostile):
    explorer = slice_explorer(tiny_study(), hostile, np.arange(2))
    pages = [page.value for page in widgets_of(explorer) if hasattr(page, "placeholder")]
    assert any("&lt;script&gt;" in page for page in pages)
    assert not any("<script" in page for page in pages)


@pytest.mark.slow
def test_a_built_book_runs_no_name_as_a_script_nor_as_a_template():
    pages = {name: (built_book() / name).read_text(encoding="utf-8") for name in book_pages()}
    assert not [name for name, text in pages.items() if "<script>alert(1)</script>" in text]
    assert not [name for name, text in pages.items() if EVALUATED in text]
    assert html.escape(HOSTILE, quote=False) in pages["studies/second/index.html"]


def widgets_of(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_of(child)


class TestManifest:
    @pytest.fixture
    def manifest(self, tmp_path):
        """A manifest in a folder of its own, beside a file that it names."""
        (tmp_path / "secret.png").write_bytes(b"")
        (tmp_path / "cohort").mkdir()
        (tmp_path / "cohort" / "link.png").symlink_to(tmp_path / "secret.png")

        def write(name: str):
            path = tmp_path / "cohort" / "manifest.csv"
            masks = [name, "link.png" if name.endswith("secret.png") else "../secret.png"]
            rows = {"patient": ["p", "q"], "label": ["a", "b"], "image": name, "mask": masks}
            pd.DataFrame(rows).to_csv(path, index=False)
            return path

        return write

    @pytest.mark.parametrize("name", ["../secret.png", "{folder}/secret.png", "link.png"])
    def test_files_outside_its_folder_need_leave(self, manifest, tmp_path, name):
        path = manifest(name.format(folder=tmp_path))
        with pytest.raises(InputError, match=r"row 2: image .*outside.*outside_paths=true"):
            read_manifest(path)
        assert len(read_manifest(path, outside_paths=True)) == 2

    @pytest.mark.parametrize("name", ["a" * 300 + ".png", "a\0b.png", "gone.png"])
    def test_names_that_no_file_has_are_refused(self, manifest, name):
        with pytest.raises(InputError):
            read_manifest(manifest(name))

    def test_more_values_than_columns_are_refused(self, tmp_path):
        path = tmp_path / "manifest.csv"
        path.write_text("patient,label,image,mask\np,a,x.png,x.png,more\nq,b,x.png,x.png,more\n")
        with pytest.raises(InputError, match="more values than"):
            read_manifest(path)


def picture_of_zeros(width: int, height: int) -> bytes:
    """A black PNG with one bit for each pixel, made without a picture in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj()
    rows = [packer.compress(bytes(1 + width // 8)) for _ in range(height)]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", b"".join(rows) + packer.flush())
        + chunk(b"IEND", b"")
    )


class TestBombs:
    """Small files that promise much memory are refused, whatever they promise it as."""

    @pytest.fixture(autouse=True)
    def little_memory(self):
        tracemalloc.start()
        yield
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**25

    @pytest.mark.parametrize(
        "shape",
        [(16384, 16384, 2), (10000, 10000, 10000), (2, 2, 32767), (1, 32767)],
        ids=["bytes", "10^12 voxels", "depth", "side"],
    )
    def test_a_nifti_of_zeros(self, tmp_path, shape):
        path = write_nifti(tmp_path / "bomb.nii.gz", np.zeros((2, 2, 2), np.float64))
        header = bytearray(gzip.decompress(path.read_bytes()))
        header[40:56] = np.array([len(shape), *shape, *[1] * (7 - len(shape))], "<i2").tobytes()
        path.write_bytes(gzip.compress(bytes(header)))
        with pytest.raises(InputError, match=r"not a volume's|more than the file can hold"):
            read_volume(path, path, "P")

    @pytest.mark.parametrize("offset", [352 + 2**27, 384], ids=["before the voxels", "over them"])
    def test_a_nifti_with_an_extension_of_zeros(self, tmp_path, offset):
        """A header may promise an extension of any length between itself and the voxels."""
        path = write_nifti(tmp_path / "bomb.nii.gz", brain())
        nifti = gzip.decompress(path.read_bytes())
        header = bytearray(nifti[:348])
        struct.pack_into("<f", header, 108, offset)
        extension = struct.pack("<4sii24x", b"\1\0\0\0", 2**27, 4)
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(header + extension + nifti[352:])
            for _ in range(2**7):
                file.write(bytes(2**20))
        if offset == 384:
            assert read_volume(path, self.mask(tmp_path), "P").image.shape == (10, 24, 24)
        else:
            with pytest.raises(InputError, match="more than the file can hold"):
                read_volume(path, self.mask(tmp_path), "P")

    @staticmethod
    def mask(folder):
        return write_nifti(folder / "mask.nii.gz", lesion())

    def test_a_picture_of_one_colour(self, tmp_path):
        path = tmp_path / "bomb.png"
        path.write_bytes(picture_of_zeros(16000, 10000))
        with pytest.raises(InputError, match="pixels"):
            read_volume(path, path, "P")
