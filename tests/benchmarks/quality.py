"""Time to a quality, in a process of its own: ``python quality.py LIBRARY NAME EPOCHS`` trains a recipe on MNIST.

Prints a JSON object: minutes of processor time on one thread, without imports and a library's first optimiser, and the
figure on the validation set. Both libraries follow one recipe: of a perceptron, that of Rasmus et al. (2015) without
its ladder, the figure is the error; of a restricted Boltzmann machine the log-likelihood in nats, for which the
companion anneals, and its time is left out.
"""

import json
import sys
import time

import numpy as np

from companion.annealing import ais
from companion.backend import one_thread
from companion.data import binarize, load_mnist
from companion.likelihood import log_likelihood
from companion.mlp import MLP
from companion.rbm import RBM, log_odds

SIZES, NOISE, RATE, BATCH, MEMORY = [784, 1000, 500, 250, 250, 250, 10], 0.3, 0.002, 100, 0.999
RBM_MEMORY = 0.9999


def memory(most, update):
    """What a running average keeps of itself: less at the start, which it forgets."""
    return min(most, (1 + update) / (10 + update))


def warm_up():
    """Import PyTorch and make a first step with its optimiser, which takes seconds that no training repeats."""
    import torch

    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([parameter])
    parameter.square().sum().backward()
    optimizer.step()
    torch.optim.lr_scheduler.LambdaLR(optimizer, float).step()
    torch.optim.swa_utils.AveragedModel(torch.nn.Linear(1, 1))


def companion_mlp(train, valid, n_epochs):
    """Train the companion's; return its error, a fraction."""
    model = MLP(
        hidden_sizes=SIZES[1:-1], activation="relu", batch_norm=True, gaussian_noise=NOISE, optimizer="adam",
        learning_rate=RATE, schedule="linear", batch_size=BATCH, l2=0.0, averaging=MEMORY, n_epochs=n_epochs,
        random_state=0,
    )  # fmt: skip
    model.fit(*train)
    return lambda: model.errors(*valid)


def torch_mlp(train, valid, n_epochs):
    """Train the same in PyTorch, as its users write it."""
    import torch
    from torch import nn
    from torch.optim.swa_utils import AveragedModel

    def follow(averages, parameters, n):
        torch._foreach_lerp_(averages, parameters, 1 - memory(MEMORY, int(n) + 1))

    class GaussianNoise(nn.Module):
        def forward(self, x):
            return x + NOISE * torch.randn_like(x) if self.training else x

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = []
    for n_in, n_out in zip(SIZES[:-2], SIZES[1:-1]):
        layers += [GaussianNoise(), nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out, momentum=0.01), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-3].weight, nonlinearity="relu")
    model = nn.Sequential(*layers, GaussianNoise(), nn.Linear(*SIZES[-2:]))
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    averaged = AveragedModel(model, multi_avg_fn=follow)
    X, y = torch.from_numpy(train.images), torch.from_numpy(train.labels.astype(np.int64))
    n_updates = n_epochs * len(X) // BATCH
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1 - update / n_updates)
    loss = nn.CrossEntropyLoss()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss(model(X[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
            averaged.update_parameters(model)
    averaged.eval()

    @torch.no_grad()
    def error():
        return float((averaged(torch.from_numpy(valid.images)).argmax(1).numpy() != valid.labels).mean())

    return error


def companion_rbm(train, valid, n_epochs, n_hidden=500, rate=0.15):
    """Train the companion's; return its log-likelihood."""
    rbm = RBM(
        n_hidden=n_hidden, persistent=True, centered=True, binarize=True, learning_rate=rate, schedule="linear",
        batch_size=BATCH, averaging=RBM_MEMORY, n_epochs=n_epochs, random_state=0,
    )  # fmt: skip
    rbm.fit(train.images)
    return lambda: nats(rbm, train, valid)


def torch_rbm(train, valid, n_epochs, n_hidden=500, first_rate=0.15):
    """Train the same in PyTorch: a persistent chain for each row of a minibatch, and the centred gradient."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    X = torch.from_numpy(train.images)
    mu, offset = X.mean(0), torch.full((n_hidden,), 0.5)
    W = torch.randn(784, n_hidden) * 0.01
    b, c = torch.from_numpy(log_odds(train.images)).float(), torch.zeros(n_hidden)
    averages = [array.clone() for array in (W, b, c)]
    h = torch.full((BATCH, n_hidden), 0.5).bernoulli()
    update, n_updates = 0, n_epochs * len(X) // BATCH
    with torch.no_grad():
        for _ in range(n_epochs):
            for rows in torch.randperm(len(X)).split(BATCH):
                v = X[rows].bernoulli()
                p = torch.sigmoid(v @ W + c)
                v_model = torch.sigmoid(h @ W.T + b).bernoulli()
                p_model = torch.sigmoid(v_model @ W + c)
                h = p_model.bernoulli()
                dW = (v - mu).T @ (p - offset) - (v_model - mu).T @ (p_model - offset)
                db = (v - v_model).sum(0) - dW @ offset
                dc = (p - p_model).sum(0) - mu @ dW
                offset.lerp_(p.mean(0), 0.01)
                rate = first_rate * (1 - update / n_updates) / BATCH
                update += 1
                for array, gradient, average in zip((W, b, c), (dW, db, dc), averages):
                    array.add_(gradient, alpha=rate)
                    average.lerp_(array, 1 - memory(RBM_MEMORY, update))
    rbm = RBM.from_parameters(*(average.numpy() for average in averages))
    return lambda: nats(rbm, train, valid)


def companion_rbm_wide(train, valid, n_epochs):
    """The same with twice the hidden units."""
    return companion_rbm(train, valid, n_epochs, 1000, 0.1)


def torch_rbm_wide(train, valid, n_epochs):
    """The same with twice the hidden units."""
    return torch_rbm(train, valid, n_epochs, 1000, 0.1)


def nats(rbm, train, valid):
    """Return the log-likelihood of validation digits, in nats per image, with log Z by annealing."""
    partition = ais(rbm, log_odds(train.images), random_state=0)
    return log_likelihood(rbm, binarize(valid.images, 0), partition).mean


if __name__ == "__main__":
    library, name, n_epochs = sys.argv[1:]
    train, valid, _ = load_mnist()
    if library == "torch":
        warm_up()
    start = time.process_time()
    with one_thread():
        figure = globals()[f"{library}_{name}"](train, valid, int(n_epochs))
    minutes = (time.process_time() - start) / 60
    print(json.dumps({"minutes": minutes, "figure": figure()}))
