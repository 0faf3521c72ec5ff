"""The companion of *Deep Beliefs*: the models, samplers and likelihoods of the book, in NumPy and CuPy.

``from companion import RBM, load_mnist`` imports what it names and no more; ``companion.__all__`` is the index of the
book, in the order of its chapters. Layers are in `companion.layers`, figures in `companion.plots`.
"""

from importlib import import_module

__version__ = "0.2.0"

_INDEX = {
    "backend": "Noise generator to_device to_numpy xp xp_name",
    "data": "MNIST Pair binarize fetch_mnist find_mnist load_idx load_mnist minibatches plane_points read_idx",
    "results": "environment load_weights read_result",
    "storage": "load_model save_model",
    "functions": "bernoulli log_softmax negative_log_likelihood sigmoid softmax softplus zero_one_loss",
    "optimize": "SGD Adam MovingAverage Patience Schedule limit_norms",
    "logistic": "LogisticRegression",
    "mlp": "MLP",
    "lenet": "LeNet",
    "autoencoder": "DenoisingAutoencoder",
    "stacked": "StackedDenoisingAutoencoder",
    "rbm": "RBM",
    "likelihood": "exact_log_partition log_likelihood",
    "annealing": "ais parallel_tempering reverse_ais",
    "diagnostics": "autocorrelation effective_sample_size precision_and_recall total_variation",
    "dbn": "DBN",
    "wake_sleep": "UpDown",
    "hmc": "HMC DualAveraging Metropolis Normal hamiltonian_ais leapfrog",
    "recurrent": "GRU LSTM Elman",
    "tagger": "Tagger",
    "music": "load_chorales read_midi write_midi",
    "rnnrbm": "RNNRBM",
    "step_machines": "sequence_likelihood",
    "widgets": "Adversary Annealing CDAgainstPCD Contributions Denoising Descent Dreams EpochScrubber FilterSlider "
    "GibbsLab Playground Puck Roll Sandwich Stack Tagging Tempering ThreeByTwo",
}
_MODULE_OF = {name: module for module, names in _INDEX.items() for name in names.split()}

__all__ = [*_MODULE_OF]


def __getattr__(name):
    """Import the module of `name` when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'companion' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})
