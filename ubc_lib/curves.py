"""Which runs make a curve over sizes: those of the same seeds at every size."""

import pandas as pd

CELL = ["model", "images_per_class"]


def whole_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of seeds that have every size of every model; all rows where no seed has.

    Every seed draws its own halves, some of which are easier than others. A mean that some seeds
    enter at a few sizes only would rise and fall with them, not with the images. A run that
    diverged is missing.
    table: columns model, images_per_class, seed, such as `Runs.runs` or `Runs.predictions`.
    """
    wanted = len(table[CELL].drop_duplicates())
    finished = table.dropna(subset="accuracy") if "accuracy" in table else table
    counted = finished[[*CELL, "seed"]].drop_duplicates().groupby("seed").size()
    whole = counted.index[counted == wanted]
    return table[table["seed"].isin(whole)] if len(whole) else table
