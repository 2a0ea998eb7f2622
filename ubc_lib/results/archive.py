"""The committed records of a study: one archive, the same each time it is written."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ubc_lib.results.record import read_record
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

PUBLISHED_RECORDS = "records.zip"
LARGEST_RECORD = 2**26  # bytes, hundreds of times what a run of the paper's protocol needs


@contextmanager
def open_records(path: Path) -> Iterator[list[zipfile.Path]]:
    """The records in an archive of them, to read while it is open.

    Raises InputError where it is damaged or not there, or holds what cannot be a record.
    """
    advice = "Take the archive from the repository again, or run the study anew."
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if "/" in entry.filename or entry.file_size > LARGEST_RECORD:
                    what = f"{path}: {entry.filename} has a place or a size that no record has"
                    raise InputError(f"{what}. {advice}")
            yield sorted(zipfile.Path(archive).iterdir(), key=str)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"The archive of records cannot be read ({error}). {advice}") from error


def publish_records(study: Study, path: Path) -> None:
    """Write the records of all finished runs of a study into one archive, the same each time."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for record in sorted((study.run_folder / "records").glob("*.json")):
            # Without a moment of its own the archive differs only where a record does.
            entry = zipfile.ZipInfo(record.name)
            archive.writestr(entry, record.read_bytes(), zipfile.ZIP_DEFLATED)


def restore_records(study: Study, archive: Path | None = None) -> int:
    """Copy every record that is not there yet and return their number.

    archive: the published one, if none is named. Raises InputError where it, or a record in it, is
    damaged or not there.
    """
    folder, copied = study.run_folder / "records", 0
    with open_records(archive or study.results_folder / PUBLISHED_RECORDS) as entries:
        for entry in entries:
            read_record(entry)
            if not (folder / entry.name).exists():
                with atomic_path(folder / entry.name) as temporary:
                    temporary.write_bytes(entry.read_bytes())
                copied += 1
    return copied
