"""What each piece of `ubc_lib.training.fast` gains: a training with all of them, and without one.

`python -m benchmarks.pieces [--image-size 64] [--repeats 3]` adds rows to
data/results/benchmarks/pieces.csv. A piece stays while a whole training takes at least a tenth
longer without it, on some processor. Processor time of one thread; the pieces take turns. At 64
pixels a training is one of 38 images per class, evaluated on 380 every fifth epoch; at 224 pixels,
where that takes hours, one of as many images as two batches, and a share of evaluation alike.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest import mock

import pandas as pd
import torch
from torch import nn

from benchmarks.engine import arrays
from ubc_lib.models import NETWORKS, build_model
from ubc_lib.results.runs import write_table
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
from ubc_lib.training import loop
from ubc_lib.training.device import choose_device, choose_precision, cpu_threads, device_name
from ubc_lib.training.examples import Examples
from ubc_lib.training.fast import layers, small_maps
from ubc_lib.training.loop import fit
from ubc_lib.training.provenance import git_commit

RESULTS = ROOT / "data" / "results" / "benchmarks" / "pieces.csv"
# Image size -> training images, test images, epochs (evaluated after the last).
WORK = {64: (76, 380, 5), 224: (100, 20, 1)}


@contextmanager
def without(piece: str) -> Iterator[None]:
    """Train without a piece of what is there for speed; with all of it where that is empty."""
    plain = {
        "small maps": (small_maps, "LARGEST_MAP", 0),
        "zeros left out": (small_maps, "MANY_IMAGES", 10**9),
        "doubled maps": (layers, "_doubles", lambda layer: False),
        "all of them": (loop, "fast", None),
    }
    if not piece:
        yield
        return
    with mock.patch.object(*plain[piece]):
        yield


PIECES = ("small maps", "zeros left out", "doubled maps", "all of them")


def seconds(network: str, image_size: int, piece: str) -> float:
    """Processor seconds of a training of a network."""
    images, tests, epochs = WORK[image_size]
    train, test = (Examples(*arrays(count, image_size)) for count in (images, tests))
    fields = {"name": "pieces", "title": "Pieces", "cohort": "phantom", "device": "cpu"}
    fields |= {"image_size": image_size, "images_per_class": [images // 2], "seeds": [0]}
    fields |= {"epochs": epochs, "evaluate_every": epochs}
    study = Study.create(fields, source="the benchmark")
    model: nn.Module = build_model(network, 0)
    with without(piece):
        started = time.process_time()
        fit(model, train, test, study, 0)
        return time.process_time() - started


def measure(image_size: int, repeats: int) -> pd.DataFrame:
    """How many times as long a training takes without each piece: median, least and largest."""
    device = choose_device("cpu")
    about = {
        "machine": device_name(device),
        "precision": choose_precision("auto", device),
        "torch": torch.__version__,
        "commit": git_commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = []
    for network in NETWORKS:
        seconds(network, image_size, "")  # the first steps of a process are its slowest
        taken = pd.DataFrame(
            {piece: seconds(network, image_size, piece) for piece in ("", *PIECES)}
            for _ in range(repeats)
        )
        ratios = taken[[*PIECES]].div(taken[""], axis=0)
        for piece, column in ratios.items():
            spread = {"times": column.median(), "least": column.min(), "largest": column.max()}
            row = {"model": network, "image_size": image_size, "piece": piece, **spread}
            rows.append(about | row | {"repeats": repeats})
            print(row, flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, choices=WORK, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with cpu_threads(1):
        measured = measure(options.image_size, options.repeats)
    earlier = [pd.read_csv(RESULTS)] if RESULTS.is_file() else []
    write_table(RESULTS, pd.concat([*earlier, measured]))


if __name__ == "__main__":
    main()
