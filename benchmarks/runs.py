"""Trains the runs of several studies in one process, seed by seed, until a deadline.

`python -m benchmarks.runs --minutes 9 --folder OUT STUDY [STUDY ...]`: studies in the order given,
each as an archive of its records, `OUT/<study>.zip`, which grows seed by seed. Finished runs are
not repeated, nor what earlier archives in OUT hold. A cohort's `slices.npz`, laid into the study's
run folder, stands for its images.
"""

import argparse
import time
from pathlib import Path

from benchmarks.gpu import train_until
from ubc_lib.results.archive import restore_records
from ubc_lib.study import Study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--settings", default="", help="of all of them")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    for name in options.studies:
        study = Study.load(name, options.settings)
        archive = options.folder / f"{study.name}.zip"
        if archive.is_file():
            restore_records(study, archive)
        train_until(deadline, study, archive)


if __name__ == "__main__":
    main()
