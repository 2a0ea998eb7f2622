"""Are the phantom's patients the same under other versions of numpy and scipy?

In each environment `python benchmarks/phantom_versions.py make FILE.npz`, then in one of them
`python benchmarks/phantom_versions.py compare FIRST.npz SECOND.npz`, which writes
benchmarks/phantom_versions.csv.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from ubc_lib.phantom.cohort import GRADES, make_scan

RESULTS = Path(__file__).with_suffix(".csv")
PATIENTS = [(grade, number) for grade in GRADES for number in range(3)]
SEED = 2024


def make(target: Path) -> None:
    arrays = {"versions": np.array(f"numpy {np.__version__}, scipy {scipy.__version__}")}
    for grade, number in PATIENTS:
        scan = make_scan(grade, number, SEED)
        arrays[f"{grade} {number} FLAIR"] = scan.flair
        arrays[f"{grade} {number} mask"] = scan.labels
    np.savez_compressed(target, **arrays)


def compare(first: Path, second: Path) -> pd.DataFrame:
    a, b = np.load(first), np.load(second)
    rows = []
    for grade, number in PATIENTS:
        flair, other = (n[f"{grade} {number} FLAIR"].astype(int) for n in (a, b))
        brain = (flair > 0) | (other > 0)
        difference = np.abs(flair - other)[brain]
        masks = [n[f"{grade} {number} mask"] for n in (a, b)]
        rows.append(
            {
                "patient": f"{grade} {number}",
                "versions": f"{a['versions']}; {b['versions']}",
                "mask voxels that differ": np.count_nonzero(masks[0] != masks[1]),
                "largest FLAIR difference": difference.max(),
                "brain voxels that differ, per million": round(1e6 * (difference > 0).mean(), 1),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["make", "compare"])
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.action == "make":
        make(*arguments.files)
        return
    table = compare(*arguments.files)
    table.to_csv(RESULTS, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
