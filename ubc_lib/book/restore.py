"""Copies the committed records of a study to its run folder, so that it goes on from them.

Use: python -m ubc_lib.book.restore STUDY [SETTINGS]
"""

import sys

from ubc_lib.results.archive import PUBLISHED_RECORDS, open_records
from ubc_lib.results.record import read_record
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path


def restore(study: Study) -> int:
    """Copy every record that is not there yet and return their number.

    Raises InputError where the archive, or a record in it, is damaged or not there.
    """
    folder, copied = study.run_folder / "records", 0
    with open_records(study.results_folder / PUBLISHED_RECORDS) as entries:
        for entry in entries:
            read_record(entry)
            if not (folder / entry.name).exists():
                with atomic_path(folder / entry.name) as temporary:
                    temporary.write_bytes(entry.read_bytes())
                copied += 1
    return copied


if __name__ == "__main__":
    try:
        study = Study.load(*sys.argv[1:])
        print(f"{restore(study)} records restored to {study.run_folder / 'records'}")
    except InputError as error:
        sys.exit(f"Error: {error}")
