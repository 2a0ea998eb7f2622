"""One model for a whole study: how the odds of a right answer change with model and images."""

import numpy as np
import pandas as pd
import statsmodels.api as sm

from ubc_lib.checks import check_predictions
from ubc_lib.errors import InputError
from ubc_lib.study import MODEL_NAMES

COLUMNS = ["term", "odds_ratio", "low", "high", "p"]


def odds_ratios(predictions: pd.DataFrame) -> pd.DataFrame:
    """Logistic model of a right answer by generalised estimating equations, clustered by patient.

    logit P(correct) = intercept + model + log2(images per class) + model × log2(images per class),
    with log2 centred on its mean over the study's sizes. Terms that do not vary in the study are
    left out. Working correlation: independence; variances are the robust ones, which are somewhat
    small below 50 patients. `correct` enters as the fraction that it is. All slices and seeds of a
    patient are one cluster; the trained networks count as given.
    Columns term, odds_ratio, low, high (95 %), p; no rows where all answers are right, or wrong.

    predictions: see `Runs.predictions`; InputError where `check_predictions` refuses them, or they
    are of fewer than two patients.

    Source: Liang & Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73
    (1986) 13–22.
    """
    check_predictions(predictions)
    if predictions["patient"].nunique() < 2:
        raise InputError("A model clustered by patient needs at least two patients.")
    # Slices of a patient under the same model and size have the same terms, so their mean with
    # their number as weight gives the same equations.
    cells = predictions.groupby(["patient", "model", "images_per_class"], as_index=False).agg(
        correct=("correct", "mean"), slices=("correct", "size")
    )
    if predictions["correct"].nunique() == 1 and predictions["correct"].iloc[0] in (0, 1):
        return pd.DataFrame(columns=COLUMNS)
    terms = _terms(cells)
    fitted = sm.GEE(
        cells["correct"].to_numpy(),
        terms.to_numpy(),
        groups=cells["patient"].to_numpy(),
        family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Independence(),
        weights=cells["slices"].to_numpy(),
    ).fit(cov_type="robust")
    low, high = np.exp(fitted.conf_int()).T
    return pd.DataFrame(
        {
            "term": terms.columns,
            "odds_ratio": np.exp(fitted.params),
            "low": low,
            "high": high,
            "p": fitted.pvalues,
        }
    )


def _terms(cells: pd.DataFrame) -> pd.DataFrame:
    sizes = np.log2(np.sort(cells["images_per_class"].unique()))
    boosted = (cells["model"] == MODEL_NAMES[1]).astype(float)
    doublings = np.log2(cells["images_per_class"]) - sizes.mean()
    terms = pd.DataFrame({"intercept (odds)": np.ones(len(cells))})
    if cells["model"].nunique() > 1:
        terms[f"UBC-ResNet34, at {2 ** sizes.mean():.0f} images per class"] = boosted
    if len(sizes) > 1:
        terms["twice the images"] = doublings
    if cells["model"].nunique() > 1 and len(sizes) > 1:
        terms["UBC-ResNet34 × twice the images"] = boosted * doublings
    return terms
