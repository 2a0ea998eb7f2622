import shutil
import zipfile

import pytest

from tests.conftest import tiny_study
from tests.records import made_record, record_all
from ubc_lib.book.publish import publish
from ubc_lib.results.archive import LARGEST_RECORD, restore_records
from ubc_lib.results.record import read_record, record_path, write_record
from ubc_lib.results.runs import load_runs
from ubc_lib.system.errors import InputError


@pytest.fixture
def published():
    """A study whose records are in its archive alone."""
    study = tiny_study(part_of="lesion_crops")
    record_all(study)
    publish(study)
    shutil.rmtree(study.run_folder)
    return study


def test_every_published_record_is_there_as_it_was(published):
    before = load_runs(published)
    assert restore_records(published) == len(published.planned_runs)
    (published.results_folder / "records.zip").unlink()
    assert load_runs(published).predictions.equals(before.predictions)


def test_a_record_that_is_there_stays(published):
    path, other = record_path(published, "resnet34", 2, 0), made_record(published, accuracy=0.5)
    write_record(path, other)
    assert restore_records(published) == len(published.planned_runs) - 1
    assert read_record(path) == other


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../../outside.json", None, "outside.json has a place or"),
        ("/outside.json", None, "outside.json has a place or"),
        ("zeros.json", bytes(LARGEST_RECORD + 1), "zeros.json has a place or a size"),
        ("resnet34-n009-seed0.json", b"{}", r"records\.zip/resnet34-n009-seed0\.json"),
    ],
    ids=["a path outside", "an absolute path", "a bomb", "not a record"],
)
def test_a_hostile_archive_writes_nothing_outside_and_is_named(
    published, data, name, content, message
):
    archive_path = published.results_folder / "records.zip"
    with zipfile.ZipFile(archive_path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content or archive.read(archive.namelist()[0]))
    before = set(data.rglob("*.json"))
    with pytest.raises(InputError, match=message):
        restore_records(published)
    written = set(data.rglob("*.json")) - before
    assert {path.parent for path in written} <= {published.run_folder / "records"}
    assert not list(data.parent.glob("outside.json"))


def test_a_study_without_published_records_is_named():
    with pytest.raises(InputError, match=r"cannot be read .*No such file.*records\.zip"):
        restore_records(tiny_study())
