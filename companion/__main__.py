"""The command line: ``python -m companion``, then info, fetch, run, lab, restore, student or reproduce."""

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path
from urllib.parse import quote


def info():
    """Print versions, the backend, and which data a chapter would see and why."""
    from . import __version__
    from .backend import THREADS
    from .data import DATA, NO_NETWORK, find_mnist, network_answers, wanted_dataset
    from .places import shown
    from .results import environment

    facts = environment()
    print(f"Deep Beliefs {__version__} on {facts['machine']}")
    print("versions: " + ", ".join(f"{name} {number}" for name, number in facts["versions"].items()))
    print(f"backend:  {facts['backend']}" + (f", {THREADS} threads" if THREADS > 1 else ""))
    source = find_mnist()
    if source is None and network_answers():
        print(f"data:     all of MNIST (will be downloaded to {shown(DATA / 'mnist')}, once)")
        return
    if source is None and wanted_dataset() == "full":
        print(f"data:     none (COMPANION_DATASET=full asks for all of MNIST, but {NO_NETWORK})")
        return
    name = "all of MNIST" if source and source.kind == "full" else "the packaged sample of 5,000 digits"
    print(f"data:     {name} ({source.reason if source else NO_NETWORK})")


def fetch():
    """Download MNIST and verify it; say where it is if it is there already."""
    from .data import fetch_mnist
    from .places import shown

    print(f"MNIST, verified, is in {shown(fetch_mnist())}")


def _offer(variable, folder):
    """Put `folder` before the others in which Jupyter looks for what `variable` names."""
    os.environ[variable] = os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


def _address(record):
    """Of what a server logs, let through its errors and the line that says where it is."""
    return record.levelno >= logging.ERROR or "http://" in record.getMessage()


def _closed(record):
    """Keep silent about a browser that is closed while a panel is running."""
    return "WebSocketClosedError" not in record.getMessage()


def _data_from_here():
    """Let COMPANION_DATA be relative to where the reader is, not to where a notebook is."""
    from .places import ROOT, at_home

    if named := os.environ.get("COMPANION_DATA"):
        os.environ["COMPANION_DATA"] = str((ROOT / at_home(named)).resolve())


def _encrypted():
    """Settings for encrypted messages between server and kernel, where that is known; else the kernel warns."""
    import zmq
    from jupyter_client.manager import KernelManager

    known = hasattr(KernelManager, "transport_encryption") and zmq.has("curve")
    return ["--KernelManager.transport_encryption=auto"] if known else []


# What JupyterLab (the first two) and Voilà also call settings that are given below.
SHORT = {
    "--ip": "--ServerApp.ip",
    "--notebook-dir": "--ServerApp.root_dir",
    "--VoilaConfiguration.template": "--template",
}


def _unless_given(settings, arguments):
    """Return our settings, without those that the reader's `arguments` have too, and then these."""
    names = [argument.partition("=")[0] for argument in arguments]
    given = {SHORT.get(name, name) for name in names}
    return [setting for setting in settings if setting.partition("=")[0] not in given] + arguments


def lab(arguments):
    """Open the Gibbs lab alone in a browser, for a projector; further `arguments` are passed on to Voilà."""
    from .places import JUPYTER

    _data_from_here()
    _offer("JUPYTER_PATH", JUPYTER)  # our template
    from voila.app import Voila

    for name, filtering in (("Voila", _address), ("tornado.general", _address), ("asyncio", _closed)):
        logging.getLogger(name).addFilter(filtering)
    print("Opening the Gibbs lab in a browser; Ctrl-C here ends it.", flush=True)
    # Of what else is installed for JupyterLab nothing is loaded: some of it fails on a page of Voilà.
    loaded = ("@voila-dashboards/widgets-manager8", "@jupyter-widgets/jupyterlab-manager", "anywidget")
    settings = ["--Voila.ip=127.0.0.1", "--template=projector", "--VoilaConfiguration.attempt_fix_notebook=False"]
    settings += [f"--VoilaConfiguration.extension_allowlist={name}" for name in loaded]
    Voila.launch_instance([str(JUPYTER / "gibbs_lab.ipynb"), *_unless_given(settings + _encrypted(), arguments)])


def _folder(named):
    """Return where the reader's chapters are: in the folder `named`, in this checkout, or in a folder made for them."""
    from .places import CHECKOUT, at_home
    from .published import FOLDER, PATTERN

    if named or not CHECKOUT:
        here = Path.cwd()
        has_chapters = any((here / chapter.name).exists() for chapter in FOLDER.glob(PATTERN))
        return at_home(named or (here if has_chapters else here / "deep-beliefs")).resolve()
    return FOLDER


def run(arguments, folder=None):
    """Open the book in JupyterLab on this machine; further `arguments` are passed on to it.

    In a checkout these are its own chapters. Elsewhere, or if a `folder` is named, they are copies in it.
    """
    from .places import CHECKOUT, JUPYTER, shown
    from .published import copy_chapters, find_chapter

    folder = _folder(folder)
    root = CHECKOUT if CHECKOUT and folder.is_relative_to(CHECKOUT) else folder
    if written := copy_chapters(folder):
        print(f"{len(written)} files of the book are now in {shown(folder)}; they are yours to change.")
    _data_from_here()
    _offer("PATH", Path(sys.executable).parent)  # in JupyterLab's terminals `python` is the one that has the book

    # Nothing leaves the machine, and nobody is asked whether it may: no look for news or for a newer JupyterLab.
    # Its log holds errors, and its address where that needs a token; `--log-level=INFO` brings the rest back.
    _offer("JUPYTER_CONFIG_PATH", JUPYTER)
    from jupyterlab.labapp import LabApp

    logging.getLogger("asyncio").addFilter(_closed)
    twice = "" if os.name == "nt" else ", twice,"  # there it does not ask
    print(f"Opening the book in JupyterLab; Ctrl-C here{twice} ends it.", flush=True)
    settings = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{quote((folder / find_chapter('00')).relative_to(root).as_posix())}",
        *_encrypted(),
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        settings.append("--allow-root")  # in a container there is no one else
    LabApp.launch_instance(_unless_given(settings, arguments))


def restore(name, folder=None):
    """Give a chapter back as it was published; the reader's own is kept."""
    from . import published
    from .places import shown

    path, kept = published.restore(name, _folder(folder))
    which = "last committed" if published.CHECKOUT else "published"
    print(f"{shown(path)} is as it was {which}." + (f" Yours is now {shown(kept)}." if kept else ""))


def student(folder, format="student"):
    """Copy the chapters for a class, without their solutions, or marked for a program that grades."""
    from .classroom import student_copies
    from .places import at_home, shown

    if not folder:
        raise ValueError("expected the name of a folder, found ''")
    folder = at_home(folder).resolve()
    written = student_copies(folder, format)
    if not written:
        raise ValueError(f"{shown(folder)}: expected a folder without the chapters, found them; they are as they were")
    print(f"{len(written)} files were written to {shown(folder)}; what was there already has been left alone.")


def headlines():
    """Return what `reproduce` can repeat, one line each: name, model, what it is judged by, and what it takes."""
    from .results import read_result, recipes

    lines = []
    for name, recipe in recipes().items():
        runs, model = len(recipe["seeds"]) * len(recipe["candidates"]), recipe["model"].rpartition(".")[2]
        try:
            record = read_result(name)
            recorded = sum(len(trial.get("seeds", record["seeds"])) for trial in record.get("candidates", [{}]))
            takes = f"{record['cpu_minutes_all_candidates'] * runs / recorded:.0f} CPU minutes"
        except FileNotFoundError:
            takes = "never recorded"
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):  # a new run puts that right
            takes = "unreadable"
        runs = "1 run" if runs == 1 else f"{runs} runs"
        lines.append(f"  {name:<16} chapter {int(recipe['chapter'][:2]):<3} {model:<28} {runs:>7}  {takes:>15}")
    head = "NAME is one of these; the minutes are reckoned from the recorded runs, on two cores of 2026:\n\n"
    foot = "All need all of MNIST but tagger, and rnnrbm, which needs music21.\n"
    foot += "Each goes on where it was if it is interrupted, after the last whole epoch."
    return head + "\n".join(lines) + "\n\n" + foot


def reproduce(name, every, checking, jobs):
    """Run a headline recipe and record its result, or only check a record; without a name, say which there are."""
    if not (name or every):
        if checking or jobs != 1:
            raise ValueError("expected NAME or --all beside --check and --jobs, found neither")
        print(f"{_called()} reproduce NAME\n\n{headlines()}")
        return
    from .reproduce import read_result, recipes

    names = [name] if name else list(recipes())
    if not checking:
        for each in names:
            _record(each, jobs)
        return
    if every:
        for each in names:
            read_result(each)  # one that is missing is missed now, not after hours
    if unlike := [each for each in names if not _check(each, jobs)]:
        raise RuntimeError(f"not borne out: {', '.join(unlike)}")


def _check(name, jobs):
    """Train one seed again, say whether the record is borne out, and return that."""
    from .reproduce import check

    found, recorded, tolerance = check(name, jobs)
    holds = abs(found - recorded) <= tolerance
    said = f"{name}: recorded {recorded:.4f}, found {found:.4f} with one seed; they may differ by {tolerance:.4f}"
    print(f"{said}: {'' if holds else 'not '}borne out", flush=True)
    return holds


def _record(name, jobs):
    """Run a recipe, record its result, and say what was reached."""
    from .places import DATA, shown
    from .reproduce import reproduce

    result = reproduce(name, jobs)

    def over_seeds(what, form):
        spread = result.get(f"{what}_std")  # which one seed does not have
        return f"{result[what]:{form}}" + (f" ± {spread:{form}}" if spread is not None else "")

    if "test_error" in result:
        reached = f"test error {over_seeds('test_error', '.2%')}"
        if possible := result.get("test_error_of_others", {}).get("best_possible"):
            reached += f" (1 − F1; the least possible is {possible:.2%})"
    elif "test_bound" in result:
        reached = f"test bound {over_seeds('test_bound', '.2f')} nats"
        if "recognition_rate" in result:
            reached = f"{over_seeds('recognition_rate', '.1%')} of the dreams recognised, {reached}"
    else:
        reached = f"test log-likelihood {over_seeds('test_log_likelihood', '.2f')} nats"
    print(
        f"{name}: {reached}, seeds {result['seeds']}, {result['cpu_minutes']:.2f} CPU minutes each; written to "
        f"{shown(DATA / 'results' / name)}.json"
    )


def _called():
    """Return what the reader typed to get here."""
    return "deep-beliefs" if Path(sys.argv[0]).stem == "deep-beliefs" else "python -m companion"


PASSED_ON = {
    "run": """\
Every further option is passed on to JupyterLab. The most useful:

  --no-browser       print the address instead of opening a browser
  --port=9000        another port than 8888
  --log-level=INFO   log all that the server does, not only errors

`jupyter lab --help` names them all.""",
    "lab": """\
Every further option is passed on to Voilà. The most useful:

  --no-browser         print the address instead of opening a browser
  --Voila.port=9000    another port than 8866
  --theme=dark         white on black

`voila --help` names them all.""",
}


def main(arguments=None):
    """Parse the command line and do what it says."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):  # one with few letters, as a file on Windows has them, is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(prog=_called(), description="The companion of Deep Beliefs.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(word, does, more=None):
        verbatim = argparse.RawDescriptionHelpFormatter
        said = does[0].upper() + does[1:] + "."
        return commands.add_parser(
            word, help=does, description=said, epilog=more, formatter_class=verbatim, allow_abbrev=False
        )

    command("info", "say which versions, which backend, which data and why")
    command("fetch", "download MNIST and verify it")
    running = command("run", "open the book in JupyterLab; its own options may follow", PASSED_ON["run"])
    command("lab", "open the Gibbs lab alone, for a projector; options of Voilà may follow", PASSED_ON["lab"])
    more = "Your own, if you have changed it, is kept beside it under a name that begins with my_."
    restoring = command("restore", "give a chapter back as it was published", more)
    restoring.add_argument("name", help="the beginning of its name, such as 06")
    more = (
        "Each exercise has a cell for its answer and a check of it. For nbgrader and otter-grader the solutions stay\n"
    )
    more += "in, between their marks: these copies are the instructor's. The published book has the solutions too."
    copying = command("student", "copy the chapters for a class, without their solutions", more)
    copying.add_argument("folder")
    copying.add_argument("--format", choices=("student", "nbgrader", "otter"), default="student", help="for whom")
    for reading in (running, restoring):
        reading.add_argument("--folder", help="where your copies of the chapters are, or are to be")
    with _one_line("reproduce"):
        more = headlines() if "reproduce" in arguments else None  # read only where it is shown
    repeating = command("reproduce", "repeat a headline result at full scale", more)
    which = repeating.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", metavar="NAME")
    which.add_argument("--all", action="store_true", dest="every", help="repeat all of them, one after the other")
    repeating.add_argument("--check", action="store_true", dest="checking",
                           help="train one seed only, record nothing, and compare it with the record")  # fmt: skip
    repeating.add_argument("--jobs", type=int, default=1,
                           help="train so many seeds side by side, anneal in so many threads (default: 1)")  # fmt: skip
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command not in PASSED_ON:
        parser.error(f"unrecognised arguments: {' '.join(rest)}")
    given = {name: value for name, value in vars(chosen).items() if name != "command"}
    with _one_line(chosen.command):
        globals()[chosen.command](*[rest] * (chosen.command in PASSED_ON), **given)


@contextlib.contextmanager
def _one_line(command):
    """End the program with one line, not a traceback, for an error that a reader can mend."""
    try:
        yield
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError as problem:
        if problem.filename:
            sys.exit(f"{command}: {problem}")
        # Whoever reads has read enough. What is left would fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        kept = " Whole epochs are kept (with --jobs, but for those of the last 20 seconds); the same command goes on."
        kept *= command == "reproduce"
        sys.exit(f"Interrupted.{kept}")
    except (OSError, ValueError, RuntimeError, FloatingPointError) as problem:
        sys.exit(f"{command}: {problem}")
    except KeyError as problem:
        sys.exit(f"{command}: {problem.args[0]}")


if __name__ == "__main__":
    main()
