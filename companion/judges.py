"""How models of the headline results are trained, chosen on the validation set, and tested: a judge for each kind."""

from dataclasses import replace

import numpy as np
from scipy.special import softmax
from sklearn.base import clone

from .annealing import ais, reverse_ais
from .backend import Noise, generator, to_device, to_numpy
from .data import Pair, binarize, fetch_mnist, find_mnist, load_mnist
from .dbn import DBN
from .diagnostics import precision_and_recall
from .flights import HiddenMarkovModel, f1, flight_grammar, load_flights
from .likelihood import MOST_UNITS, exact_log_partition, log_likelihood
from .mlp import MLP
from .music import load_chorales
from .rbm import RBM, log_odds
from .results import load_weights
from .step_machines import StepMachines, annealed_log_partitions, counted_log_partitions, log_mean, sequence_likelihood
from .storage import save, save_model

__all__ = [
    "Bound", "Classification", "Density", "Dreams", "FewLabels", "Measures", "Music", "Tagging", "judge_of",
]  # fmt: skip


def judge_of(recipe, jobs=1):
    """Return what trains and judges, with its data; annealed chains are shared by `jobs` threads."""
    if jobs < 1:
        raise ValueError(f"jobs: expected at least 1, found {jobs}")
    if "refit" in recipe and recipe["judge"] not in ("classification", "density", "bound"):
        found = recipe["judge"]
        raise ValueError(f"expected to refit what is judged by classification, density or bound, found {found!r}")

    def digits():
        return _all_digits("refit" in recipe)

    judged, gathered = {
        "classification": (Classification, digits),
        "few labels": (lambda digits: FewLabels(digits, recipe["n_labels"]), digits),
        "density": (Density, digits),
        "measures": (Measures, digits),
        "bound": (lambda digits: Bound(digits, recipe["machine"]), digits),
        "dreams": (Dreams, digits),
        "tagging": (Tagging, lambda: load_flights("full")),  # whatever the environment asks for
        "music": (Music, _all_chorales),
    }[recipe["judge"]]
    judge = judged(gathered())
    judge.n_jobs = jobs
    if n := recipe.get("n_temperatures"):
        judge.FORWARD, judge.REVERSE = ({**way, "n_temperatures": n} for way in (judge.FORWARD, judge.REVERSE))
    return judge


def _all_digits(together=False):
    """Return all of MNIST, or raise ValueError if the environment asks for the sample.

    If `together`, those of the validation set are among those to train on, and there is no such set.
    """
    if (source := find_mnist()) and source.kind == "sample":
        raise ValueError(f"a headline result needs all of MNIST, not the sample ({source.reason})")
    if source is None:
        fetch_mnist()
    digits = load_mnist()
    if not together:
        return digits
    train = Pair(*(np.concatenate(both) for both in zip(digits.train, digits.valid)))
    return digits._replace(train=train, valid=None)


def _all_chorales():
    """Return Bach's chorales, or raise ValueError."""
    chorales = load_chorales()
    if chorales.train[0].name.startswith("toy"):
        raise ValueError("a headline result needs Bach's chorales: pip install music21")
    return chorales


class Classification:
    """How classifiers are trained, chosen and tested: by their errors."""

    criterion, sign = "valid_error", 1
    reported, UNCERTAIN = "test_error", 0.0005  # digits: five in 10,000

    def __init__(self, digits):
        self.digits = digits

    def fit(self, model, checkpoint):
        """Train `model`, stopping early by the validation set, if there is one."""
        model.fit(*self.digits.train, validation=self.digits.valid, checkpoint=checkpoint)

    def validate(self, model):
        """Return the validation error, a fraction."""
        return model.history_.best_error

    def test(self, models, values):
        """Return the test errors, fractions; `values` are what `validate` said of the models."""
        return _over_seeds("test_error", [model.errors(*self.digits.test) for model in models])


class FewLabels(Classification):
    """How classifiers that are told few labels, drawn anew for every seed, are trained, chosen and tested.

    There are equally many labels of each class; all training images are there, without labels. What trains has no
    labels to stop early by: the validation set serves to choose among candidates.
    """

    UNCERTAIN = 0.005

    def __init__(self, digits, n_labels):
        super().__init__(digits)
        self.n_labels = n_labels

    def fit(self, model, checkpoint):
        """Train `model` on a draw that follows from its seed."""
        (X, y), rng = self.digits.train, generator(model.random_state)
        each = self.n_labels // len(np.unique(y))
        few = np.concatenate([rng.choice(np.flatnonzero(y == k), each, replace=False) for k in np.unique(y)])
        model.fit(X[few], y[few], checkpoint=checkpoint, unlabelled=X)

    def validate(self, model):
        """Return the validation error, a fraction."""
        return model.errors(*self.digits.valid)


class Halved:
    """What keeps the parameters of a model in half precision, as ``half``."""

    def keep(self, path):
        """Write them to a file."""
        save(path, self.half)


class Density(Halved):
    """How restricted Boltzmann machines are trained, chosen and tested: by their log-likelihood, in nats per image.

    Images are binarised by one fixed Bernoulli draw (`companion.data.binarize`, seed `DRAW`), log Z is estimated by
    annealed importance sampling. The machine of the first seed is measured with care, by AIS forward and reverse, and
    kept in half precision; the machines of the other seeds show how much of its figure is luck.
    """

    criterion, sign = "valid_log_likelihood", -1
    reported, UNCERTAIN = "test_log_likelihood", 0.3  # nats
    DRAW, SEED = 0, 784
    n_jobs = 1  # threads for the chains
    VALIDATION = {"n_temperatures": 10_000}
    FORWARD, REVERSE = {"n_temperatures": 20_000, "n_chains": 200}, {"n_temperatures": 20_000}
    LONG_RUN = 10_000  # Gibbs steps before the backward chains start

    def __init__(self, digits):
        self.train, self.valid, self.test_images = (pair and pair.images for pair in digits)
        self.base_bias = log_odds(self.train)

    def fit(self, model, checkpoint):
        """Train `model`."""
        model.fit(self.train, checkpoint=checkpoint)

    def validate(self, model):
        """Return the validation log-likelihood, in nats per image."""
        partition = ais(model, self.base_bias, **self.VALIDATION, n_jobs=self.n_jobs, random_state=self.SEED)
        return log_likelihood(model, binarize(self.valid, self.DRAW), partition).mean

    def test(self, models, values):
        """Measure all `models` on the test digits, which are used here only, and the first with care."""
        images, rounded = binarize(self.test_images, self.DRAW), np.round(self.test_images)
        annealed = [
            ais(model, self.base_bias, **self.FORWARD, n_jobs=self.n_jobs, random_state=self.SEED) for model in models
        ]
        found = [log_likelihood(model, images, partition) for model, partition in zip(models, annealed)]
        first, forward = models[0], annealed[0]
        reverse, samples = self._backwards(first, forward, self.base_bias, **self.REVERSE)
        self.half = _half(first)
        return {
            **_over_seeds("test_log_likelihood", [likelihood.mean for likelihood in found]),
            "seed": first.random_state,  # the rest is of this one's machine
            "image_error": found[0].image_error,
            "test_log_likelihood_reverse": log_likelihood(first, images, reverse).mean,
            "test_log_likelihood_thresholded": log_likelihood(first, rounded, forward).mean,
            "train_log_likelihood": log_likelihood(first, binarize(self.train, self.DRAW), forward).mean,
            "forward": _facts(forward) | self.FORWARD,
            "effective_sample_sizes": [partition.ess for partition in annealed],
            "reverse": _facts(reverse) | self.REVERSE,
            "binarisation": f"one Bernoulli draw, companion.data.binarize, seed {self.DRAW}",
            "test_pseudo_log_likelihood": float(to_numpy(first.pseudo_log_likelihood(images)).mean()),
            "test_pseudo_log_likelihood_thresholded": float(to_numpy(first.pseudo_log_likelihood(rounded)).mean()),
            "half_precision_cost": self._half_precision_cost(first, samples, images),
        }

    def _backwards(self, model, forward, base_bias, **annealing):
        """Reverse AIS, and its samples: ends of forward chains, drawn by weight, that have walked on for long."""
        rng = generator(self.SEED)
        n, weights = len(forward.log_weights), softmax(forward.log_weights)
        start = forward.samples[to_device(rng.choice(n, n, p=weights))]
        samples = model.sample(steps=self.LONG_RUN, start=start, random_state=rng)
        return reverse_ais(model, samples, base_bias, **annealing, n_jobs=self.n_jobs, random_state=rng), samples

    def _half_precision_cost(self, model, samples, images):
        """Nats per image of the test set that rounding the parameters costs.

        log Z' − log Z is the log of the mean of exp(F − F') over samples of the machine, which hardly differs.
        """
        rounded = RBM.from_parameters(**self.half)
        gain = to_numpy(model.free_energy(samples) - rounded.free_energy(samples)).astype(np.float64)
        loss = to_numpy(rounded.free_energy(images) - model.free_energy(images)).astype(np.float64).mean()
        return float(loss + np.log(np.exp(gain).mean()))


class Measures(Density):
    """How measures of quality are held against each other: by what each says of the same machines.

    Log Z is a sum where the smaller layer has at most 25 units, and annealed from both sides otherwise. Machines of one
    size and seed began with the same weights: differences between candidates are taken in pairs.
    """

    ANNEALING, LONG_RUN = {"n_temperatures": 1500}, 500
    FEW = 2000  # digits for the pseudo-likelihood

    def __init__(self, digits):
        super().__init__(digits)
        self.measured, self.partitions = [], []

    def validate(self, model):
        """Measure a machine; return its validation log-likelihood, in nats per image."""
        images = to_device(binarize(self.valid, self.DRAW))
        if exact := min(model.W_.shape) <= MOST_UNITS:
            forward = reverse = exact_log_partition(model)
        else:
            forward = ais(model, self.base_bias, **self.ANNEALING, n_jobs=self.n_jobs, random_state=self.SEED)
            reverse, _ = self._backwards(model, forward, self.base_bias, **self.ANNEALING)
        likelihood = log_likelihood(model, images, forward)
        self.partitions.append((model, forward))
        self.measured.append({
            "settings": {name: getattr(model, name) for name in ("n_hidden", "persistent", "n_epochs")},
            "seed": model.random_state,
            "reconstruction_error": float(((model.reconstruct(images) - images) ** 2).sum(axis=1).mean()),
            "pseudo_log_likelihood": float(model.pseudo_log_likelihood(images[: self.FEW]).mean()),
            "log_likelihood": likelihood.mean,
            "log_likelihood_reverse": log_likelihood(model, images, reverse).mean,
            **({} if exact else {"forward": _facts(forward), "reverse": _facts(reverse)}),
        })  # fmt: skip
        return likelihood.mean

    def test(self, models, values):
        """Return all that was measured, and the test log-likelihoods of the chosen machines."""
        images = binarize(self.test_images, self.DRAW)
        found = [
            log_likelihood(model, images, forward).mean
            for model in models
            for measured, forward in self.partitions
            if measured is model
        ]
        return {
            "measured": self.measured,
            **_over_seeds("test_log_likelihood", found),
            "binarisation": f"one Bernoulli draw, companion.data.binarize, seed {self.DRAW}",
        }


class Bound(Density):
    """How deep belief networks without labels are fine-tuned, chosen and tested: by the bound on their log-likelihood.

    They begin as a recorded machine: see `DBN.upside_down`. The bound is that on log p(v), in nats per image. What the
    seeds decide is the fine-tuning, from one machine.
    """

    criterion, sign = "valid_bound", -1
    reported = "test_bound"
    SAMPLES = 10  # of the codes for each image

    def __init__(self, digits, machine):
        super().__init__(digits)
        weights = load_weights(machine)
        if weights.keys() != (expected := {"W", "visible_bias", "hidden_bias"}):
            raise ValueError(f"weights {machine!r}: expected {sorted(expected)}, found {sorted(weights)}")
        self.given = {"dbn": DBN.upside_down(RBM.from_parameters(**weights))}

    def _anneal(self, network, **annealing):
        """Anneal the machine on top."""
        return ais(network.top_, self._base(network), **annealing, n_jobs=self.n_jobs, random_state=self.SEED)

    def _base(self, network):
        """Return the biases to begin annealing with: the codes of training images have their means."""
        return log_odds(network.layers_[0].transform(self.train))

    def _bound(self, network, images, partition):
        return network.bound(binarize(images, self.DRAW), partition, n_samples=self.SAMPLES, random_state=self.SEED)

    def validate(self, model):
        """Return the bound on the validation set, in nats per image."""
        network = model.network_
        return self._bound(network, self.valid, self._anneal(network, **self.VALIDATION)).mean

    def test(self, models, values):
        """Measure all `models` on the test digits, which are used here only, and the first with care."""
        networks = [model.network_ for model in models]
        annealed = [self._anneal(network, **self.FORWARD) for network in networks]
        found = [self._bound(network, self.test_images, forward) for network, forward in zip(networks, annealed)]
        network, forward = networks[0], annealed[0]
        reverse, _ = self._backwards(network.top_, forward, self._base(network), **self.REVERSE)
        return {
            **_over_seeds("test_bound", [bound.mean for bound in found]),
            "seed": models[0].random_state,  # the rest is of this one's network
            "image_error": found[0].image_error,
            "test_bound_reverse": self._bound(network, self.test_images, reverse).mean,
            "train_bound": self._bound(network, self.train, forward).mean,
            "forward": _facts(forward) | self.FORWARD,
            "effective_sample_sizes": [partition.ess for partition in annealed],
            "reverse": _facts(reverse) | self.REVERSE,
            "binarisation": f"one Bernoulli draw, companion.data.binarize, seed {self.DRAW}",
        }


class Dreams(Halved):
    """How deep belief networks are trained with labels, chosen by a bound, and asked for digits.

    The bound is the variational one on log p(v, y), in nats per image; images are binarised as for `Density`. The
    digits that a chosen network dreams when its label units are clamped are read by a multilayer perceptron of
    chapter 2, which has been trained on the same images. The network of the first seed is kept, in half precision.
    """

    criterion, sign = "valid_bound", -1
    reported, UNCERTAIN = "test_bound", 0.5  # nats
    DRAW, SEED, SAMPLES = Density.DRAW, Density.SEED, 10  # samples of the codes for each image
    n_jobs = 1  # threads for the chains
    EACH, STEPS = 100, 1000  # dreams of each digit, and the Gibbs steps before one is looked at
    READER = {
        "hidden_sizes": (500, 500), "activation": "relu", "batch_norm": True, "gaussian_noise": 0.3,
        "optimizer": "adam", "learning_rate": 0.002, "schedule": "linear", "n_epochs": 10, "batch_size": 100,
        "l2": 0.0, "averaging": 0.999, "random_state": 0,
    }  # fmt: skip

    def __init__(self, digits):
        self.digits = digits

    def fit(self, model, checkpoint):
        """Pretrain `model`, with labels."""
        model.pretrain(*self.digits.train, checkpoint=checkpoint)

    def _bound(self, model, pair, partition):
        images = binarize(pair.images, self.DRAW)
        return model.bound(images, partition, pair.labels, n_samples=self.SAMPLES, random_state=self.SEED)

    def validate(self, model):
        """Return the bound on the validation set, in nats per image."""
        partition = ais(model.top_, **Density.VALIDATION, n_jobs=self.n_jobs, random_state=self.SEED)
        return self._bound(model, self.digits.valid, partition).mean

    def test(self, models, values):
        """Measure all `models` on the test digits, which are used here only, and the first with care."""
        annealed = [ais(model.top_, **Density.FORWARD, n_jobs=self.n_jobs, random_state=self.SEED) for model in models]
        bounds = [self._bound(model, self.digits.test, partition) for model, partition in zip(models, annealed)]
        halves = [_half(model) for model in models]
        rounded = [DBN.from_parameters({k: a.astype(np.float32) for k, a in half.items()}) for half in halves]
        self.half = halves[0]
        reader = MLP(**self.READER).fit(*self.digits.train)
        labels = np.repeat(models[0].classes_, self.EACH)
        dreams = [
            to_numpy(network.sample(len(labels), self.STEPS, label=labels, random_state=self.SEED))
            for network in rounded
        ]
        right = [reader.predict(images) == labels for images in dreams]
        sets = dreams[0], *(self._some_of_each(pair) for pair in (self.digits.test, self.digits.train))
        drawn, unseen, others = (binarize(images, seed) for seed, images in enumerate(sets))
        return {
            **_over_seeds("test_bound", [bound.mean for bound in bounds]),
            **_over_seeds("recognition_rate", [float(row.mean()) for row in right]),
            "seed": models[0].random_state,  # the rest is of this one's network
            "image_error": bounds[0].image_error,
            "forward": _facts(annealed[0]),
            "effective_sample_sizes": [partition.ess for partition in annealed],
            "binarisation": f"one Bernoulli draw, companion.data.binarize, seed {self.DRAW}",
            "half_precision_cost": bounds[0].mean - self._rounded_bound(models[0], rounded[0], annealed[0]),
            "recognised_of_each": [float(right[0][labels == label].mean()) for label in models[0].classes_],
            "among_test_digits": precision_and_recall(unseen, drawn),
            "training_digits_among_them": precision_and_recall(unseen, others),
            "dreams": f"{self.EACH} of each label, {self.STEPS} Gibbs steps from coin tosses, in half precision",
            "reader_test_error": reader.errors(*self.digits.test),
        }

    def _rounded_bound(self, model, rounded, partition):
        """Return the bound that the `rounded` network has: its log Z differs by a mean over the chains of `model`."""
        gain = to_numpy(model.top_.free_energy(partition.samples) - rounded.top_.free_energy(partition.samples))
        shift = np.log(softmax(partition.log_weights) @ np.exp(gain.astype(np.float64)))
        return self._bound(rounded, self.digits.test, replace(partition, log_z=partition.log_z + shift)).mean

    def _some_of_each(self, pair):
        """Return the first images of each digit, as many as are dreamt."""
        rows = [np.flatnonzero(pair.labels == label)[: self.EACH] for label in np.unique(pair.labels)]
        return pair.images[np.concatenate(rows)]


class Tagging:
    """How taggers of flight requests are trained, chosen and tested: by 1 − F1, beside the least that is possible.

    What is possible is known from the grammar that the requests are drawn from, for a reader of the whole sentence and
    for one who sees no further ahead than half a window. Beside them are a hidden Markov model and a network without
    memory.
    """

    criterion, sign = "valid_error", 1
    reported, UNCERTAIN = "test_error", 0.005

    def __init__(self, requests):
        self.grammar, (self.train, self.valid, self.test_requests) = flight_grammar(), requests

    def fit(self, model, checkpoint):
        """Train `model`, keeping its best by the validation sentences."""
        model.fit(*self.train, validation=self.valid, checkpoint=checkpoint)

    def validate(self, model):
        """Return 1 − F1 on the validation sentences."""
        return model.history_.best_error

    def test(self, models, values):
        """Return 1 − F1 on the test sentences, fractions; the test set is used here only."""
        X, y = self.test_requests
        self.best, ahead = models[int(np.argmin(values))], models[0].window // 2
        errors = [1 - model.score(X, y) for model in models]
        window = clone(self.best).set_params(cell="none", bidirectional=False, window=7, verbose=False)
        window.fit(*self.train, validation=self.valid)
        others = {
            "best_possible": self.grammar.predict(X),
            "best_possible_without_what_follows": self.grammar.predict(X, ahead),
            "hidden_markov_model": HiddenMarkovModel.count(*self.train).predict(X),
            "window_of_7": window.predict(X),
        }
        column = {tag: k for k, tag in enumerate(self.grammar.tags_)}
        pairs = [(row, self.grammar.posterior(sentence)) for sentence, row in zip(X, y)]
        return {
            **_over_seeds("test_error", errors),
            "test_error_of_others": {name: 1 - f1(y, tags) for name, tags in others.items()},
            "ahead": ahead,
            "nats_per_word": [model.negative_log_likelihood(X, y) for model in models],
            "nats_per_word_at_least": -float(
                np.mean([np.log(table[t, column[tag]]) for row, table in pairs for t, tag in enumerate(row)])
            ),
            "data": f"{len(self.train.tags):,} sentences of companion.flights to learn from, {len(y):,} to test",
        }

    def keep(self, path):
        """Write the best tagger, by the validation sentences, to a file."""
        save_model(path, self.best)


class Music(Halved):
    """How RNN-RBMs are trained, chosen and tested: by their log-likelihood, in nats a step (a quarter note).

    Log Z of every sixth step, given all before it, by annealed importance sampling. On some of these steps it is also
    bounded by counting all chords of at most four notes, and estimated backwards, from samples.
    """

    criterion, sign = "valid_log_likelihood", -1
    reported, UNCERTAIN = "test_log_likelihood", 0.1  # nats a step
    SEED, EVERY = 88, 6
    VALIDATION = {"n_temperatures": 1000, "n_chains": 1}
    TEST = {"n_temperatures": 6000, "n_chains": 10}  # two chains flatter by one to two tenths of a nat
    PART, LONG_RUN = 30, 1000  # steps with bounds on log Z; Gibbs steps of the samples to begin backwards with

    def __init__(self, chorales):
        self.train, self.valid, self.test_pieces = ([piece.roll for piece in part] for part in chorales)

    def fit(self, model, checkpoint):
        """Train `model`."""
        model.fit(self.train, checkpoint=checkpoint)

    def validate(self, model):
        """Return the validation log-likelihood, in nats a step."""
        return self._likelihood(model, self.valid, **self.VALIDATION).mean

    def _some(self, model, rolls):
        """Every sixth step of each piece: minus the free energies, the machines, and how many each piece has."""
        v, machines = model.all_machines(rolls)
        chosen = [np.arange(0, len(roll), self.EVERY) for roll in rolls]
        starts = np.cumsum([0, *(len(roll) for roll in rolls[:-1])])
        rows = to_device(np.concatenate([first + steps for first, steps in zip(starts, chosen)]))
        some = StepMachines(machines.W, machines.visible_bias[rows], machines.hidden_bias[rows])
        return -to_numpy(some.free_energy(v[rows])).astype(np.float64), some, [len(steps) for steps in chosen]

    def _likelihood(self, model, rolls, **annealing):
        data, some, lengths = self._some(model, rolls)
        found = annealed_log_partitions(some, **annealing, random_state=self.SEED)
        return sequence_likelihood(data, found.log_weights, lengths)

    def test(self, models, values):
        """Measure all `models` on the test pieces, and the best by the validated `values` with care."""
        found = [self._likelihood(model, self.test_pieces, **self.TEST) for model in models]
        means = [likelihood.mean for likelihood in found]
        chosen = int(np.argmax(values))
        self.best = best = models[chosen]
        self.half = _half(best)
        rounded = type(best).from_parameters({name: array.astype(np.float32) for name, array in self.half.items()})
        hasty = {n: self._hasty(best, n) for n in (50, 150, 500)}
        return {
            **_over_seeds("test_log_likelihood", means),
            "log_z_error": found[chosen].log_z_error,
            "piece_error": found[chosen].piece_error,
            "annealing": self.TEST,
            "part": [self._part(model) for model in models],
            "hasty": {str(n): value for n, value in hasty.items()},
            "test_frame_accuracy": [
                model.frame_accuracy(self.test_pieces, n_chains=1, random_state=self.SEED) for model in models
            ],
            "steps": {"train": _steps(self.train), "valid": _steps(self.valid), "test": _steps(self.test_pieces)},
            "measured": f"every step whose number is a multiple of {self.EVERY}, given all steps before it",
            "seed": best.random_state,
            "half_precision_cost": hasty[150] - self._hasty(rounded, 150),
        }

    def _hasty(self, model, n_temperatures):
        """Return the test log-likelihood as a shorter ladder has it."""
        return self._likelihood(model, self.test_pieces, **self.TEST | {"n_temperatures": n_temperatures}).mean

    def _part(self, model):
        """Log-likelihoods on the same steps by AIS, by counting (at most that high) and by AIS backwards."""
        data, machines, _ = self._some(model, self.test_pieces)
        rng = generator(self.SEED)
        chosen = np.sort(rng.choice(len(data), self.PART, replace=False))
        data, rows = data[chosen], to_device(chosen)
        some = StepMachines(machines.W, machines.visible_bias[rows], machines.hidden_bias[rows])
        forward = annealed_log_partitions(some, **self.TEST, random_state=rng)
        noise = Noise(rng)
        start = [to_numpy(some.gibbs(to_device(v), noise, self.LONG_RUN)) for v in forward.resampled(rng)]
        reverse = annealed_log_partitions(
            some, n_temperatures=self.TEST["n_temperatures"], start=np.stack(start), random_state=rng
        )
        return {
            "steps": self.PART,
            "ais": float((data - forward.log_z).mean()),
            "counted": float((data - counted_log_partitions(some)).mean()),
            "reverse": float((data + log_mean(-reverse.log_weights)).mean()),
            "at_most_four_notes": float(np.mean([(v.sum(axis=1) <= 4).mean() for v in start])),
        }


def _over_seeds(what, values):
    """Return what is reported of the values that the seeds have: one value says nothing of their spread."""
    spread = {f"{what}_std": float(np.std(values, ddof=1))} if len(values) > 1 else {}
    return {what: float(np.mean(values)), **spread, f"{what}s": values}


def _steps(rolls):
    return int(sum(map(len, rolls)))


def _half(model):
    """Return the parameters in half precision, as they are kept."""
    return {name: to_numpy(array).astype(np.float16) for name, array in model.parameters_.items()}


def _facts(partition):
    """What is recorded of an estimate of log Z."""
    return {"log_z": partition.log_z, "std_error": partition.std_error, "effective_sample_size": partition.ess}
