"""The headline results: train by recipe, choose on the validation set, report the test set once, record everything."""

import datetime
import importlib
import json
import subprocess
from numbers import Real

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from .judges import judge_of
from .places import BOOK, CHECKOUT, DATA
from .results import environment, read_result, recipes
from .storage import expect_writable, replacing

__all__ = ["check", "reproduce"]


def reproduce(name, jobs=1):
    """Run the recipe `name` and write ``data/results/NAME.json``; and, where the recipe says so, its weights.

    A run that is interrupted goes on where it was when it is started again. A recipe that says ``refit`` takes the
    settings of the record named there, chooses nothing, and learns training and validation digits together.

    Parameters
    ----------
    name : str
    jobs : int
        Processes that train side by side, each with one BLAS thread; then threads that share annealed chains.

    Returns
    -------
    dict
        What was written. What is reported is a mean over the seeds: ``test_error`` (a fraction),
        ``test_log_likelihood`` or ``test_bound`` (nats). ``test_errors``, and the like, are the values that it is a
        mean of; ``test_error_std`` is their standard deviation as a sample, if there is more than one. For the rest see
        `companion.judges`. Minutes are those of one training run, all its phases together, of the chosen candidate.

    Raises
    ------
    KeyError
        If there is no such recipe.
    OSError
        If MNIST is neither there nor can be downloaded, nothing can be written, or there is no record to refit.
    ValueError
        If the environment asks for the sample, or music21 is not there: headline results are on all of the data; if
        `jobs` is below 1.
    KeyboardInterrupt
        If training was interrupted; nothing is recorded then.
    """
    recipe = _recipe(name)
    judge = judge_of(recipe, jobs)
    for folder, suffix in [("results", "json"), *[("weights", "npz")] * recipe.get("keep_weights", False)]:
        expect_writable(DATA / folder / f"{name}.{suffix}")  # said before the training, not after it
    refit = "refit" in recipe
    common = read_result(recipe["refit"])["parameters"] if refit else recipe.get("common", {})
    candidates = [common | candidate for candidate in recipe["candidates"]]
    runs = [(number, seed) for number in range(len(candidates)) for seed in recipe["seeds"]]
    if jobs > 1:
        work = [delayed(_train_apart)(recipe, candidates[i], seed, _checkpoint(name, i, seed)) for i, seed in runs]
        print(f"{name}: {len(work)} runs, {jobs} at a time", flush=True)
        side_by_side = Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
        for _ in tqdm(side_by_side, total=len(work), unit=" runs"):
            pass  # what each has learned is in its checkpoint, from which the lines below take it

    trials = []
    for number, candidate in enumerate(candidates):
        models = []
        for seed in recipe["seeds"]:
            print(
                f"{name}: candidate {number + 1} of {len(candidates)} {recipe['candidates'][number]}, seed {seed}",
                flush=True,
            )
            models.append(_train(recipe, judge, candidate, seed, _checkpoint(name, number, seed)))
        trials.append((candidate, models, [] if refit else [judge.validate(model) for model in models]))
    parameters, chosen, values = trials[0] if refit else min(trials, key=lambda trial: np.mean(trial[2]) * judge.sign)
    result = {
        "name": name,
        "chapter": recipe["chapter"],
        "model": recipe["model"],
        "parameters": parameters,
        **judge.test(chosen, values),
        "seeds": recipe["seeds"],
        **(_settings_of(recipe["refit"]) if refit else _selection(judge.criterion, values, trials)),
        "cpu_minutes": float(np.mean([_seconds(model, "cpu") for model in chosen])) / 60,
        "wall_minutes": float(np.mean([_seconds(model, "wall") for model in chosen])) / 60,
        "cpu_minutes_all_candidates": sum(_seconds(model, "cpu") for _, models, _ in trials for model in models) / 60,
        "tutorial": recipe["tutorial"],
        "recorded": datetime.date.today().isoformat(),
        "revision": _revision(),
        **environment(),
    }
    with replacing(DATA / "results" / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    if recipe.get("keep_weights"):
        judge.keep(DATA / "weights" / f"{name}.npz")
    for number, seed in runs:
        _forget(_checkpoint(name, number, seed))
    return result


def check(name, jobs=1):
    """Train one seed of the recorded result `name` again, and compare it with the record.

    Nothing is recorded. The test set is used again: for a figure that is already public, and chooses nothing.

    Parameters
    ----------
    name : str
    jobs : int
        Threads that share annealed chains.

    Returns
    -------
    found, recorded, tolerance : float
        The figure of this run, that of the record, and how far apart they may be: three standard deviations over the
        recorded seeds, or `UNCERTAIN` of the judge where that is more.

    Raises
    ------
    KeyError, OSError, ValueError, KeyboardInterrupt
        As `reproduce`.
    FileNotFoundError
        If there is no record.
    """
    recipe, record = _recipe(name), read_result(name)
    judge, checkpoint = judge_of(recipe, jobs), _checkpoint(name, "check", 0)
    deviation = f"{judge.reported}_std"
    for fact, kind in (("parameters", dict), ("seeds", list), (judge.reported, Real), (deviation, Real)):
        found = record.get(fact, 0 if fact == deviation else None)  # one seed has none
        if not isinstance(found, kind) or found in ({}, []):
            raise ValueError(f"the record of {name}: expected its {fact}, found {found!r}")
    seed = record.get("seed", record["seeds"][0])
    model = _train(recipe, judge, record["parameters"], seed, checkpoint)
    found = judge.test([model], [] if "refit" in recipe else [judge.validate(model)])[judge.reported]
    _forget(checkpoint)
    spread = record.get(deviation, 0)
    return found, record[judge.reported], max(judge.UNCERTAIN, 3 * spread)


def _selection(criterion, values, trials):
    """What is recorded of how the best of the `trials`, which had these `values`, was found."""
    return {
        criterion: float(np.mean(values)),
        f"{criterion}s": values,
        "selection": f"best mean {criterion} over the seeds; this run used the test set once, for the chosen one",
        "candidates": [{"parameters": tried, criterion: float(np.mean(found))} for tried, _, found in trials],
    }


def _settings_of(name):
    """What is recorded where nothing was left to choose by."""
    return {
        "selection": f"nothing was chosen: the settings are those of {name} but for the epochs, and the digits of the "
        "training and the validation set were learned together; this run used the test set once",
    }


def _revision():
    """Return the commit that the code is of, with "-dirty" if it was changed since; None outside the book's own git."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=BOOK, capture_output=True, encoding="utf8", errors="replace")

    try:
        if not CHECKOUT or git("rev-parse", "--show-prefix").stdout.strip():  # a folder of somebody else's repository
            return None
        commit = git("rev-parse", "--short=12", "HEAD").stdout.strip()
        return commit and commit + git("diff", "--quiet", "HEAD", "--", "companion").returncode * "-dirty" or None
    except FileNotFoundError:  # no git
        return None


def _recipe(name):
    if name not in recipes():
        raise KeyError(f"no recipe {name!r}; there are: {', '.join(recipes())}")
    return recipes()[name]


def _train(recipe, judge, parameters, seed, checkpoint, verbose=True):
    """Return a model, trained, or taken from its checkpoint if that is of a training that has ended."""
    module, _, cls = recipe["model"].rpartition(".")
    given = getattr(judge, "given", {})  # what is no number or word of a recipe
    model = getattr(importlib.import_module(module), cls)(**given, **parameters, random_state=seed, verbose=verbose)
    judge.fit(model, checkpoint)
    if any(history.stopped == "interrupt" for history in _histories(model)):
        raise KeyboardInterrupt
    return model


def _train_apart(recipe, parameters, seed, checkpoint):
    """Train a model in a process of its own, for the sake of its checkpoint."""
    _train(recipe, judge_of(recipe), parameters, seed, checkpoint, verbose=False)


def _forget(checkpoint):
    for file in checkpoint.parent.glob(f"{checkpoint.stem}.*"):
        file.unlink()


def _histories(model):
    """The histories of all that was trained: of the layers, where there was pretraining, and of the whole."""
    return [*getattr(model, "pretraining_histories_", []), *filter(None, [getattr(model, "history_", None)])]


def _seconds(model, clock):
    return sum(getattr(history, f"{clock}_seconds") for history in _histories(model))


def _checkpoint(name, number, seed):
    return DATA / "checkpoints" / f"{name}-{number}-{seed}.npz"
