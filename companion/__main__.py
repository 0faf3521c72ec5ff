"""The command line: ``python -m companion info | fetch | run | lab | reproduce NAME``."""

import argparse
import os
import sys


def info():
    """Print versions, the backend, and which data a chapter would see and why."""
    from . import __version__
    from .data import find_mnist
    from .reproduce import environment

    facts = environment()
    print(f"Deep Beliefs {__version__} on {facts['machine']}")
    print("versions: " + ", ".join(f"{name} {number}" for name, number in facts["versions"].items()))
    print(f"backend:  {facts['backend']}")
    source = find_mnist()
    name = {"full": "all of MNIST", "sample": "the packaged sample of 5,000 digits"}.get(source and source.kind)
    reason = source.reason if source else "will be downloaded; where there is no network, the packaged sample is used"
    print(f"data:     {name or 'MNIST'} ({reason})")


def fetch():
    """Download MNIST and verify it; say where it is if it is there already."""
    from .data import DATA, fetch_mnist

    print(f"MNIST, verified, is in {os.path.relpath(fetch_mnist(), DATA.parent)}")


def _offer(variable, folder):
    """Put `folder` before the others in which Jupyter looks for what `variable` names."""
    os.environ[variable] = os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


def lab(arguments):
    """Open the Gibbs lab alone in a browser, for a projector; further `arguments` are passed on to Voilà."""
    from .data import ROOT

    own = ROOT / "companion" / "jupyter"
    _offer("JUPYTER_PATH", own)  # our template
    from voila.app import Voila

    settings = ["--Voila.ip=127.0.0.1", "--template=projector", "--VoilaConfiguration.attempt_fix_notebook=False"]
    Voila.launch_instance([str(own / "gibbs_lab.ipynb"), *settings, *arguments])


def run(arguments):
    """Open the book in JupyterLab on this machine; further `arguments` are passed on to it."""
    from .data import ROOT

    # Nothing leaves the machine, and nobody is asked whether it may: no look for news or for a newer JupyterLab.
    _offer("JUPYTER_CONFIG_PATH", ROOT / "companion" / "jupyter")
    from jupyterlab.labapp import LabApp

    settings = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={ROOT}",
        "--LabApp.default_url=/lab/tree/chapters/00_getting_started.ipynb",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        settings.append("--allow-root")  # in a container there is no one else
    given = {argument.partition("=")[0] for argument in arguments}
    LabApp.launch_instance([s for s in settings if s.partition("=")[0] not in given] + arguments)


def reproduce(name):
    """Run a headline recipe and record its result."""
    from .reproduce import reproduce

    result = reproduce(name)
    if "test_error" in result:
        reached = f"test error {result['test_error']:.2%} ± {result['test_error_std']:.2%}"
        if possible := result.get("test_error_of_others", {}).get("best_possible"):
            reached += f" (1 − F1; the least possible is {possible:.2%})"
    elif "recognised" in result:
        reached = f"{result['recognised']:.1%} of the dreams recognised, test bound {result['test_bound']:.2f} nats"
    else:
        reached = f"test log-likelihood {result['test_log_likelihood']:.2f} nats"
    print(
        f"{name}: {reached}, seeds {result['seeds']}, {result['cpu_minutes']:.2f} CPU minutes each; written to "
        f"data/results/{name}.json"
    )


def main(arguments=None):
    """Parse the command line and do what it says; errors that a reader can mend are one line, not a traceback."""
    parser = argparse.ArgumentParser(prog="python -m companion", description="The companion of Deep Beliefs.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="versions, backend, which data and why")
    commands.add_parser("fetch", help="download MNIST and verify it")
    commands.add_parser("run", help="open the book in JupyterLab; its own options may follow")
    commands.add_parser("lab", help="open the Gibbs lab alone, for a projector; options of Voilà may follow")
    commands.add_parser("reproduce", help="run a headline recipe at full scale").add_argument("name")
    chosen, rest = parser.parse_known_args(arguments)
    openers = {"run": run, "lab": lab}
    if rest and chosen.command not in openers:
        parser.error(f"unrecognised arguments: {' '.join(rest)}")
    try:
        if chosen.command in openers:
            openers[chosen.command](rest)
        elif chosen.command == "reproduce":
            reproduce(chosen.name)
        else:
            {"info": info, "fetch": fetch}[chosen.command]()
    except KeyboardInterrupt:
        sys.exit("Interrupted. What was done is kept; the same command goes on from there.")
    except (OSError, ValueError, RuntimeError) as problem:
        sys.exit(f"{chosen.command}: {problem}")
    except KeyError as problem:
        sys.exit(f"{chosen.command}: {problem.args[0]}")


if __name__ == "__main__":
    main()
