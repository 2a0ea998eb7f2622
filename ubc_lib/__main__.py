"""The command line: python -m ubc_lib COMMAND …, with --help for each.

What a command needs is imported when it runs, so that none waits for what another needs.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from ubc_lib.system.errors import InputError

MACHINES = (1, 4, 16, 64)


def study(options: argparse.Namespace) -> None:
    """Check a study and run it to its book: cohort, trainings, results, pages."""
    from ubc_lib.data.readers import cohort_state  # noqa: PLC0415
    from ubc_lib.data.slices import made_from  # noqa: PLC0415
    from ubc_lib.results.record import check_first_weights  # noqa: PLC0415
    from ubc_lib.study import PAPER_LABELS, Study  # noqa: PLC0415
    from ubc_lib.study.files import ROOT, data_folder  # noqa: PLC0415
    from ubc_lib.system.signals import sigterm_forwarded  # noqa: PLC0415
    from ubc_lib.training.device import choose_device, unused_gpu  # noqa: PLC0415

    if options.gpus < 1:
        raise InputError("--gpus (GPUS) must be 1 or more; device=cpu trains without.")
    asked = Study.load(options.study, options.settings, options.cohort_root)
    if {entry.network for entry in asked.models.values()} - PAPER_LABELS.keys():
        importlib.import_module("ubc_lib.models").check_networks(asked)
    check_first_weights(asked)
    if cohort_state(asked) not in ("", made_from(asked)):
        check(options)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    if asked.device == "auto" and (lost := unused_gpu()):
        print(lost)
    told = {"study": options.study, "settings": options.settings}
    told |= {"cohort_root": str(asked.cohort_root or ""), "gpus": str(options.gpus)}
    told["gpu"] = "yes" if choose_device(asked.device).type == "cuda" else "no"
    # Of a clone that cannot be written to, what is written goes beside the results.
    place = ROOT if os.access(ROOT, os.W_OK) else data_folder().resolve()
    place.mkdir(parents=True, exist_ok=True)
    arguments = ["book", "--cores", options.cores, "--snakefile", ROOT / "Snakefile"]
    arguments += ["--directory", place, "--resources", f"gpu={options.gpus}", f"mem_mb={memory}"]
    arguments += ["--keep-going", "--rerun-incomplete", "--rerun-triggers", "mtime"]
    arguments += ["--quiet", "all", "--nolock"]
    arguments += ["--config", *(f"{key}={quote(value)}" for key, value in told.items())]
    with sigterm_forwarded():
        ended = subprocess.run([sys.executable, "-m", "snakemake", *arguments], check=False)
    if ended.returncode:
        raise InputError(
            "The study is not finished: see above. What is done is kept; run the same command "
            f"again to go on from there. All that was said stands in {place}/.snakemake/log."
        )


def train(options: argparse.Namespace) -> None:
    """Train runs of a study in one process: all, or those of one of several cards."""
    from ubc_lib.study import Study  # noqa: PLC0415
    from ubc_lib.training.cost import shares  # noqa: PLC0415
    from ubc_lib.training.device import use_card  # noqa: PLC0415
    from ubc_lib.training.run import train_runs  # noqa: PLC0415

    asked = Study.load(options.study, options.settings, options.cohort_root)
    if not 0 <= options.part < options.parts:
        raise InputError(f"--part counts from 0 to {options.parts - 1}, got {options.part}.")
    use_card(options.part)
    label = f"{asked.name}, part {options.part + 1} of {options.parts}"
    for _ in train_runs(asked, shares(asked, options.parts)[options.part], label):
        pass  # its record is written


def check(options: argparse.Namespace) -> None:
    """Look at a cohort's images and masks before anything is trained on them."""
    from ubc_lib.book.check import check_cohort  # noqa: PLC0415
    from ubc_lib.book.words import say  # noqa: PLC0415
    from ubc_lib.study import Study  # noqa: PLC0415
    from ubc_lib.training.cost import WARNED_BELOW, outlook, read_rates  # noqa: PLC0415

    asked = Study.load(options.study, options.settings, options.cohort_root)
    checked = check_cohort(asked)
    print(say("check.txt.j2", study=asked, checked=checked))
    print(say("cost.txt.j2", models=outlook(asked, read_rates()), **WARNED_BELOW))
    if checked.problems:
        raise InputError(
            "Nothing is trained on this cohort as it is. Mend what is named above, or take it out."
        )


def book(options: argparse.Namespace) -> None:
    """Build the book of some studies, or of all committed results, and say what is in it."""
    from ubc_lib.book.build import build, study_folders  # noqa: PLC0415
    from ubc_lib.book.words import say  # noqa: PLC0415
    from ubc_lib.results.summary import read_summary  # noqa: PLC0415

    page = build(options.studies, printable=options.pdf)
    summaries = [read_summary(folder) for folder in study_folders(options.studies)]
    for summary in summaries:
        print(say("terminal.txt.j2", summary=summary))
    print(f"The book is at {page}")
    if options.studies and not all(summary["synthetic"] for summary in summaries):
        print("It shows pictures of patients, named as in the cohort: do not pass it on.")


def notebook(options: argparse.Namespace) -> None:
    """Run one notebook with parameters; its executed copy appears when all went well."""
    from ubc_lib.book.notebooks import execute, read_parameters  # noqa: PLC0415

    started = time.monotonic()
    execute(options.source, options.target, read_parameters(options.source, options.parameters))
    print(f"{options.target.stem}: {time.monotonic() - started:.0f} s")


def publish(options: argparse.Namespace) -> None:
    """Copy a study's results, without pictures of real patients, to where they are committed."""
    from ubc_lib.book.publish import publish, published_folder, update_readme  # noqa: PLC0415
    from ubc_lib.study import Study  # noqa: PLC0415

    asked = Study.load(options.study, options.settings)
    folder = publish(asked, published_folder(asked))
    print(folder)
    if folder == asked.results_folder:
        update_readme()
    else:
        print("This study is yours, not the repository's: nothing of the repository was changed.")


def predict(options: argparse.Namespace) -> None:
    """Say of new images what the networks that a study keeps make of them; for research alone."""
    from ubc_lib.book.prediction import predict as answer  # noqa: PLC0415
    from ubc_lib.study import Study  # noqa: PLC0415

    asked = Study.load(options.study, options.settings)
    table = answer(asked, options.model, options.images, options.to, options.channel)
    print(table[["image", "probability", "answer", "problem"]].to_string(index=False, na_rep="-"))
    print("For research alone: nobody's diagnosis or treatment may rest on this.")
    print(f"Overlays: {options.to}/index.html; masks, and a row per slice, beside it.")
    if table["problem"].ne("").any():
        raise InputError(f"{table['problem'].ne('').sum()} of {len(table)} images were not usable.")


def restore(options: argparse.Namespace) -> None:
    """Copy the committed records of a study to its run folder, so that it goes on from them."""
    from ubc_lib.results.archive import restore_records  # noqa: PLC0415
    from ubc_lib.study import Study  # noqa: PLC0415

    asked = Study.load(options.study, options.settings)
    print(f"{restore_records(asked)} records restored to {asked.run_folder / 'records'}")


def cost(options: argparse.Namespace) -> None:
    """Print what a study should take, and how wrong that may be."""
    from ubc_lib.book.words import say  # noqa: PLC0415
    from ubc_lib.study import Study  # noqa: PLC0415
    from ubc_lib.training.cost import (  # noqa: PLC0415
        WARNED_BELOW,
        in_words,
        outlook,
        read_errors,
        read_rates,
        study_hours,
    )

    if min(options.machines) < 1:
        raise InputError("--machines must be 1 or more.")
    asked = Study.load(options.study, options.settings)
    print(say("cost.txt.j2", models=outlook(asked, read_rates()), **WARNED_BELOW))
    for key, value in study_hours(asked, read_rates(), tuple(options.machines)).items():
        print(f"{key:<12} {value if key == 'jobs' else in_words(value)}")
    ratios = read_errors()["sum"]
    print(
        "If every epoch is trained, with one CPU core for each job. Runs that the rates were not "
        f"fitted to took {ratios.min():.2f} to {ratios.max():.2f} times as long as predicted."
    )


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    whole = argparse.ArgumentParser(prog="python -m ubc_lib", description=__doc__)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(function, *, of_a_study: bool) -> argparse.ArgumentParser:
        summary = function.__doc__.partition("\n")[0]
        added = commands.add_parser(function.__name__, help=summary, description=summary)
        added.set_defaults(command=function)
        if of_a_study:
            added.add_argument("study", help="a study of studies/")
            added.add_argument("settings", nargs="?", default="", help='"epochs=5 seeds=[1,2]"')
        return added

    run = command(study, of_a_study=True)
    trained = command(train, of_a_study=True)
    trained.add_argument("--part", type=int, default=0, help="which, from 0; its card as well")
    trained.add_argument("--parts", type=int, default=1, help="of so many")
    looked_at = command(check, of_a_study=True)
    for one in (run, trained, looked_at):
        one.add_argument("--cohort-root", default="", help="its patients, if not phantoms")
    run.add_argument("--cores", default="all")
    run.add_argument("--gpus", type=int, default=1, help="cards to train on")
    pages = command(book, of_a_study=False)
    pages.add_argument("studies", nargs="*", help="of data/runs; all committed results by default")
    pages.add_argument("--pdf", action="store_true", help="offer all pages as one PDF as well")
    one = command(notebook, of_a_study=False)
    one.add_argument("source", type=Path)
    one.add_argument("target", type=Path)
    one.add_argument("parameters", nargs="*", metavar="parameter=value")
    command(publish, of_a_study=True)
    new = command(predict, of_a_study=False)
    new.add_argument("images", nargs="+", type=Path, help="images, or folders of them")
    new.add_argument("--study", required=True, help="of studies/, as it was run")
    new.add_argument("--model", default="ubc_resnet34")
    new.add_argument("--settings", default="", help="what SET was when it was run")
    new.add_argument("--channel", help="red, green or blue of colour images, as in training")
    new.add_argument("--to", type=Path, default=Path("predictions"), help="the folder to write")
    command(restore, of_a_study=True)
    hours = command(cost, of_a_study=True)
    hours.add_argument("--machines", nargs="+", type=int, default=MACHINES, help="jobs at once")
    return whole


def main(arguments: list[str] | None = None) -> None:
    """Run one command; what the user got wrong is one line, and exit status 1."""
    options = parser().parse_args(arguments)
    if not os.access(Path.home(), os.W_OK):  # Jupyter, Snakemake and others write there
        os.environ["HOME"] = tempfile.mkdtemp(prefix="home-")
    try:
        options.command(options)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
