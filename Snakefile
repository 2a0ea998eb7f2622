# The whole study as a graph of files: cohort -> train -> results -> book.
# The executed notebooks are the record; run records beside them are never deleted or rebuilt.

import os
import sys
from urllib.parse import unquote

from ubc_lib.data.readers import cohort_state
from ubc_lib.training.cost import STARTUP_MINUTES, card_memory_mb, card_minutes, job_minutes, memory_mb
from ubc_lib.system.errors import InputError
from ubc_lib.data.slices import made_from
from ubc_lib.results.record import first_weights, record_path
from ubc_lib.study import Study, parts_of
from ubc_lib.study.files import ROOT

# Percent-encoded by `python -m ubc_lib study`: Snakemake's jobs change quotes on their way.
STUDY, SETTINGS, COHORT_ROOT = (
    unquote(config.get(key) or default)
    for key, default in (("study", "quick"), ("settings", ""), ("cohort_root", ""))
)
try:
    study = Study.load(STUDY, SETTINGS, COHORT_ROOT)
    state = cohort_state(study)
except InputError as error:
    sys.exit(f"Error: {error}")

NOTEBOOKS = study.run_folder / "notebooks"
NEEDS_GPU = study.device == "cuda" or (study.device == "auto" and config.get("gpu", "no") == "yes")
CARDS = range(max(int(config.get("gpus", 1)), 1) if NEEDS_GPU else 0)
# Two minutes before its limit SLURM tells training to write a checkpoint and leave.
LEAVE = "--signal=TERM@120"
# exec: a signal to the job reaches Python, with no shell between.
RUN = "exec python -m ubc_lib notebook {input.notebook:q} {output:q} study={STUDY:q} settings={SETTINGS:q}"

wildcard_constraints:
    model="|".join(study.models),
    seed=r"\d+",


def lost_record(output, runs):
    """A file newer than what says that runs are trained, where not all of their records are there.
    """
    records = [record_path(study, *run) for run in runs]
    if not output.is_file() or all(path.is_file() for path in records):
        return []
    mark, later = output.with_suffix(".lost"), output.stat().st_mtime + 1
    mark.write_text(str(later))  # else its content, as last time, would say that nothing is new
    os.utime(mark, (later, later))
    return [mark]


def changed_cohort():
    """A file newer than the cohort's notebook where its slices were made from other files.

    Snakemake does not see what appears while it asks for inputs, so this is called before.
    """
    if not state or made_from(study) in (None, state):
        return []
    mark = NOTEBOOKS / "cohort.changed"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(state)
    return [mark]


def records_of_parts(run):
    """The records of the study's parts, which its statistics show, as far as they are here."""
    parts = parts_of(study)
    here = [path for part in parts for path in (part.run_folder / "records").glob("*.json")]
    return here + [path for part in parts for path in part.results_folder.glob("records.zip")]


localrules:
    book,


rule cohort:
    input:
        changed_cohort(),
        notebook=ROOT / "notebooks/01_cohort.ipynb",
    output:
        NOTEBOOKS / "01_cohort.ipynb",
    threads: workflow.cores
    shell:
        RUN + " cohort_root={COHORT_ROOT:q}"


rule models:
    input:
        notebook=ROOT / "notebooks/02_models.ipynb",
    output:
        NOTEBOOKS / "02_models.ipynb",
    shell:
        RUN


# On a GPU one process trains all runs of a card, and the notebooks read their records.
rule train_on_card:
    input:
        rules.cohort.output,
        lambda of: lost_record(NOTEBOOKS / f"card{of.card}.trained", study.planned_runs),
        [path for path in (first_weights(study, model) for model in study.models) if path],
    output:
        touch(NOTEBOOKS / "card{card}.trained"),
    threads: study.threads
    resources:
        mem_mb=card_memory_mb(study),
        gpu=1,
        slurm_extra=LEAVE,
        runtime=lambda of, attempt: attempt * card_minutes(study, len(CARDS)),
    shell:
        "exec python -m ubc_lib train {STUDY:q} {SETTINGS:q} --cohort-root={COHORT_ROOT:q}"
        " --part {wildcards.card} --parts {CARDS.stop}"


rule train:
    input:
        rules.cohort.output,
        lambda run: lost_record(
            NOTEBOOKS / f"03_train-{run.model}-seed{run.seed}.ipynb",
            [(run.model, size, int(run.seed)) for size in study.sizes_of(int(run.seed))],
        ),
        lambda run: first_weights(study, run.model) or [],
        ancient(expand(rules.train_on_card.output, card=CARDS)),  # its records tell what is new
        notebook=ROOT / "notebooks/03_train.ipynb",
    output:
        NOTEBOOKS / "03_train-{model}-seed{seed}.ipynb",
    threads: study.threads
    resources:
        mem_mb=memory_mb(study),
        slurm_extra=LEAVE,
        runtime=lambda run, attempt: (
            attempt
            * (
                STARTUP_MINUTES
                if NEEDS_GPU
                else job_minutes(study, run.model, study.sizes_of(int(run.seed)))
            )
        ),
    shell:
        RUN + " model={wildcards.model} seed={wildcards.seed}"


rule results:
    input:
        expand(rules.train.output, model=study.models, seed=study.all_seeds),
        notebook=ROOT / "notebooks/04_results.ipynb",
    output:
        NOTEBOOKS / "04_results.ipynb",
    shell:
        RUN


rule statistics:
    input:
        expand(rules.train.output, model=study.models, seed=study.all_seeds),
        records_of_parts,
        notebook=ROOT / "notebooks/06_statistics.ipynb",
    output:
        NOTEBOOKS / "06_statistics.ipynb",
    shell:
        RUN


rule explorer:
    input:
        rules.results.output,
        notebook=ROOT / "notebooks/05_explorer.ipynb",
    output:
        NOTEBOOKS / "05_explorer.ipynb",
    shell:
        RUN


rule artefacts:
    input:
        rules.results.output,
        notebook=ROOT / "notebooks/08_artefacts.ipynb",
    output:
        NOTEBOOKS / "08_artefacts.ipynb",
    shell:
        RUN


rule book:
    input:
        rules.cohort.output,
        rules.models.output,
        expand(rules.train.output, model=study.models, seed=study.all_seeds),
        rules.results.output,
        rules.explorer.output,
        rules.statistics.output,
        rules.artefacts.output if study.artefacts else [],
    shell:
        "python -m ubc_lib book {study.name:q}"
