"""Records of runs that never happened, and what else a finished study leaves behind."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from ubc_lib.results.record import FORMAT, computing_settings, record_path, write_record
from ubc_lib.study.files import ROOT

WARNING = new_output("stream", name="stderr", text=f"{ROOT}/ubc_lib/figures/curves.py:1: a warning")
PICTURE = new_output("display_data", {"image/png": "cGljdHVyZQ=="})


def complete(study) -> None:
    """What a finished study leaves besides its records."""
    folder = study.run_folder
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "tables" / "table_3.csv").write_text("model,accuracy\n")
    (folder / "figure_6.svg").write_text("<svg/>")
    (folder / "summary.json").write_text(
        '{"headline": null, "dummy": {"accuracy": 0.5, "dice": 0.1}}'
    )
    cells = [
        new_code_cell("cohort_root = '/home/me/BraTS'\nstudy = 'tiny'"),
        new_code_cell("slice_grid()", outputs=[PICTURE]),
        new_code_cell("figure_6()", outputs=[PICTURE, WARNING]),
    ]
    cells[0].metadata["tags"] = ["injected-parameters"]
    cells[1].metadata["tags"] = ["patient-images"]
    metadata = {
        "papermill": {"output_path": "/home/me/out.ipynb"},
        "widgets": {"state": "cGljdHVyZQ=="},
    }
    nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / "notebooks/04.ipynb")
    (folder / "notebooks/04.ipynb").rename(folder / "notebooks/04_results.ipynb")


def made_record(study, model="resnet34", images_per_class=2, seed=0, accuracy=0.75) -> dict:
    """A record as `run` writes it, of a run that never happened."""
    dice = 0.5 if model.startswith("ubc_") else None
    epochs = [1, 2]
    return {
        "format": FORMAT,
        "run": {
            "study": study.name,
            "model": model,
            "images_per_class": images_per_class,
            "seed": seed,
        },
        "settings": computing_settings(study, model),
        "fingerprint": "f" * 64,
        "provenance": {
            "device": "CPU",
            "precision": "fp32",
            "commit": "abc",
            "date": "2026-01-01T00:00:00+00:00",
        },
        "result": {
            "accuracy": accuracy,
            "dice": dice,
            "dice_per_image": dice,
            "n_test": 4,
            "plateau_epoch": None,
            "plateau_reached": False,
            "diverged_epoch": None,
            "epochs_run": 2,
            "seconds": 30.0,
            "parameters": 21279426,
            "train_labels": images_per_class,
            "train_mask_pixels": 0,
        },
        "evaluations": {
            "epoch": epochs,
            "accuracy": [0.5, 1.0],
            "cross_entropy": [0.7, 0.6],
            "dice": [dice] * 2,
            "dice_per_image": [dice] * 2,
        },
        "history": {
            "epoch": epochs,
            "learning_rate": [2e-5] * 2,
            "loss": [0.7, 0.6],
            "cross_entropy": [0.7, 0.6],
            "soft_dice_loss": [None] * 2,
            "accuracy": [0.5] * 2,
            "seconds": [1.0] * 2,
        },
        "predictions": {
            "patient": ["a", "a", "b", "b"],
            "slice_index": [1, 2, 1, 2],
            "label": ["HGG", "HGG", "LGG", "LGG"],
            "target": [1, 1, 0, 0],
            "probability": [0.9, 0.8, 0.3, 0.6],
            "correct": [1.0, 1.0, 1.0, 0.0],
            "dice": [dice] * 4,
        },
        "answers": {
            "epoch": epochs,
            "probability": [[0.9, 0.8, 0.3, 0.6]] * 2,
            "dice": [[dice] * 4] * 2,
        },
    }


def record_all(study, **changed) -> None:
    for model in study.models:
        for size in study.images_per_class:
            for seed in study.seeds:
                record = made_record(study, model, size, seed, **changed)
                write_record(record_path(study, model, size, seed), record)
