"""One training step of each library, timed in a process of its own: ``python steps.py LIBRARY STEP BATCH [OPTIONS]``.

OPTIONS are a JSON object, such as ``{"n_hidden": 1000}``. Prints a JSON object of microseconds: the best of several
rounds, so that a busy machine disturbs little. Data, sizes and precision are the same for all.
"""

import itertools
import json
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

ROUNDS, SECONDS = 6, 0.1


def microseconds(**functions):
    """Time each function, taking turns, and return the best mean of a round for each."""
    best = dict.fromkeys(functions, float("inf"))
    for function in functions.values():
        function()
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start, calls = time.perf_counter(), 0
            while (passed := time.perf_counter() - start) < SECONDS:
                function()
                calls += 1
            best[name] = min(best[name], 1e6 * passed / calls)
    return best


def digits(batch):
    rng = np.random.default_rng(0)
    return rng.random((batch, 784), np.float32), rng.integers(0, 10, batch)


def companion_softmax(batch):
    """The step of `LogisticRegression`, and the two matrix products that no implementation can do without."""
    from companion.layers import Dense, SoftmaxCrossEntropy
    from companion.optimize import SGD

    x, t = digits(batch)
    W, b = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)
    layer, loss, optimizer = Dense(W, b), SoftmaxCrossEntropy(), SGD(0.01)
    scores, gradient = np.empty((batch, 10), np.float32), np.empty_like(W)

    def step():
        loss.forward(layer.forward(x), t)
        layer.backward(loss.backward(), need_dx=False)
        optimizer.update([W, b], [layer.dW, layer.db])

    def products():
        np.matmul(x, W, out=scores)
        np.matmul(x.T, scores, out=gradient)

    return microseconds(step=step, products=products)


def torch_softmax(batch):
    """The same step in PyTorch."""
    import torch

    return torch_step(torch.nn.Linear(784, 10), batch)


def torch_step(model, batch, prepare=lambda x: x):
    """Time a step of eager PyTorch as every tutorial writes it; `prepare` makes the model's input of rows of pixels."""
    import torch

    torch.set_num_threads(1)
    x, t = map(torch.from_numpy, digits(batch))
    x = prepare(x)
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=0.01), torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss(model(x), t).backward()
        optimizer.step()

    return microseconds(step=step)


def companion_mlp(batch):
    """The step of `MLP` with 500 tanh units, and its five matrix products."""
    from companion.backend import generator
    from companion.layers import SoftmaxCrossEntropy
    from companion.mlp import MLP

    x, t = digits(batch)
    model = MLP(hidden_sizes=(500,), l2=0.0)
    parameters = model.initial_parameters(784, 10, generator(0))
    network, loss, optimizer = model.network(parameters), SoftmaxCrossEntropy(), model._optimizer(1)
    W1, W2 = parameters["W1"], parameters["W2"]
    h, scores, dh = (np.empty((batch, size), np.float32) for size in (500, 10, 500))
    dW1, dW2 = np.empty_like(W1), np.empty_like(W2)

    def step():
        loss.forward(network.forward(x), t)
        network.backward(loss.backward())
        optimizer.update(network.parameters, network.gradients)

    def products():
        np.matmul(x, W1, out=h)
        np.matmul(h, W2, out=scores)
        np.matmul(h.T, scores, out=dW2)
        np.matmul(scores, W2.T, out=dh)
        np.matmul(x.T, dh, out=dW1)

    return microseconds(step=step, products=products)


def torch_mlp(batch):
    """The same network in PyTorch."""
    import torch

    layers = torch.nn.Linear(784, 500), torch.nn.Tanh(), torch.nn.Linear(500, 10)
    return torch_step(torch.nn.Sequential(*layers), batch)


def compiled_mlp(batch):
    """The same, with forward and backward compiled by PyTorch."""
    import torch

    layers = torch.nn.Linear(784, 500), torch.nn.Tanh(), torch.nn.Linear(500, 10)
    return torch_step(torch.compile(torch.nn.Sequential(*layers)), batch)


def jax_mlp(batch):
    """The same step in JAX, compiled whole."""
    import jax
    import jax.numpy as jnp

    x, t = digits(batch)
    rng = np.random.default_rng(0)
    W1, W2 = (0.05 * rng.standard_normal(shape, np.float32) for shape in ((784, 500), (500, 10)))
    parameters = [jnp.asarray(array) for array in (W1, np.zeros(500, np.float32), W2, np.zeros(10, np.float32))]

    def loss(p):
        scores = jax.nn.log_softmax(jnp.tanh(x @ p[0] + p[1]) @ p[2] + p[3])
        return -scores[jnp.arange(batch), t].mean()

    @jax.jit
    def update(p):
        return [array - 0.01 * gradient for array, gradient in zip(p, jax.grad(loss)(p))]

    def step():
        nonlocal parameters
        parameters = jax.block_until_ready(update(parameters))

    return microseconds(step=step)


def sklearn_mlp(batch):
    """The same network in scikit-learn: one call of `partial_fit` is one step."""
    from sklearn.neural_network import MLPClassifier

    x, t = digits(batch)
    model = MLPClassifier((500,), activation="tanh", solver="sgd", alpha=0.0, batch_size=batch, momentum=0.0)
    model.partial_fit(x, t, classes=np.arange(10))
    return microseconds(step=lambda: model.partial_fit(x, t))


def companion_lenet(batch):
    """The step of `LeNet` without dropout."""
    from companion.backend import generator
    from companion.layers import SoftmaxCrossEntropy
    from companion.lenet import LeNet
    from companion.optimize import SGD

    x, t = digits(batch)
    model = LeNet()
    model.n_features_in_ = 784
    network = model.network(model.initial_parameters(784, 10, generator(0)))
    loss, optimizer = SoftmaxCrossEntropy(), SGD(0.01)

    def step():
        loss.forward(network.forward(x), t)
        network.backward(loss.backward())
        optimizer.update(network.parameters, network.gradients)

    return microseconds(step=step)


def torch_lenet(batch, layout="contiguous_format"):
    """The same network in PyTorch, in its default layout of images."""
    import torch
    from torch import nn

    layout = getattr(torch, layout)
    below = nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()
    model = nn.Sequential(*below, nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))
    return torch_step(model.to(memory_format=layout), batch, lambda x: x.view(-1, 1, 28, 28).to(memory_format=layout))


def channels_last_lenet(batch):
    """The same in the layout that is quicker for PyTorch: the channels innermost."""
    return torch_lenet(batch, "channels_last")


def companion_autoencoder(batch):
    """An update of `DenoisingAutoencoder` with 500 hidden units, and its four matrix products."""
    from companion.autoencoder import DenoisingAutoencoder, ReconstructionGradient
    from companion.backend import Noise, generator
    from companion.optimize import SGD

    X, minibatches = images(batch)
    model, noise = DenoisingAutoencoder.from_parameters(*small_weights(np.float32)), Noise(generator(0))
    W, parameters = model.parameters_["W"], list(model.parameters_.values())
    gradient, optimizer = ReconstructionGradient(model), SGD(0.01)
    V, H, dW = X[: 2 * batch].copy(), np.ones((2 * batch, 500), np.float32), np.empty_like(W)

    def step():
        x = X[next(minibatches)]
        gradient(model._corrupt(x, noise), x)
        optimizer.update(parameters, gradient.gradients)

    def products():
        np.matmul(V[:batch], W, out=H[batch:])
        np.matmul(H[batch:], W.T, out=V[batch:])
        np.matmul(V[batch:], W, out=H[:batch])
        np.matmul(V.T, H, out=dW)

    return microseconds(step=step, products=products)


def torch_autoencoder(batch):
    """The same update in eager PyTorch, with its autograd."""
    import torch

    torch.set_num_threads(1)
    X, minibatches = images(batch)
    X, minibatches = torch.from_numpy(X), map(torch.from_numpy, minibatches)
    W, b, c = (torch.from_numpy(array).requires_grad_() for array in small_weights(np.float32))
    optimizer = torch.optim.SGD([W, b, c], 0.01)
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")

    def step():
        x = X[next(minibatches)]
        h = torch.sigmoid((x * (torch.rand_like(x) >= 0.3)) @ W + c)
        optimizer.zero_grad()
        (loss(h @ W.T + b, x) / batch).backward()
        optimizer.step()

    return microseconds(step=step)


def companion_rbm(batch, n_visible=784, n_hidden=500, k=1, persistent=False):
    """An update of `RBM` by CD-k, and its matrix products: four where k is 1."""
    from companion.backend import Noise, generator
    from companion.optimize import SGD
    from companion.rbm import RBM, ContrastiveDivergence

    X, minibatches = images(batch, n_visible)
    rbm = RBM.from_parameters(*small_weights(np.float32, n_visible, n_hidden))
    W, parameters = rbm.W_, list(rbm.parameters_.values())
    noise = Noise(generator(0))
    estimate, optimizer = ContrastiveDivergence(rbm, noise, k=k, n_chains=batch * persistent), SGD(0.01)
    V, P = np.ones((2 * batch, n_visible), np.float32), np.empty((2 * batch, n_hidden), np.float32)
    h, means = np.ones((batch, n_hidden), np.float32), np.empty((batch, n_visible), np.float32)
    gradient = np.empty_like(W)

    def step():
        estimate(X[next(minibatches)])
        optimizer.update(parameters, estimate.gradients)

    def products():
        np.matmul(V[:batch], W, out=P[:batch])
        for _ in range(k):
            np.matmul(h, W.T, out=means)
            np.matmul(V[batch:], W, out=P[batch:])
        np.matmul(V.T, P, out=gradient)

    return microseconds(step=step, products=products)


def companion_pcd(batch):
    """An update by PCD-1: chains that go on, as many as images."""
    return companion_rbm(batch, persistent=True)


def images(batch, n_pixels=784):
    """Five thousand images of independent pixels, and an iterator over minibatches of their rows, without an end."""
    rng = np.random.default_rng(0)
    return rng.random((5000, n_pixels), np.float32), itertools.cycle(rng.permutation(5000).reshape(-1, batch))


def small_weights(dtype, n_visible=784, n_hidden=500):
    """Parameters of a machine that has nothing more to learn of such images, so that they stay where they are."""
    W = 0.01 * np.random.default_rng(0).standard_normal((n_visible, n_hidden))
    return W.astype(dtype), np.zeros(n_visible, dtype), np.zeros(n_hidden, dtype)


def torch_rbm(batch, n_hidden=500, persistent=False):
    """The same update by CD-1 in eager PyTorch."""
    import torch

    torch.set_num_threads(1)
    X, minibatches = images(batch)
    X, minibatches = torch.from_numpy(X), map(torch.from_numpy, minibatches)
    W, b, c = map(torch.from_numpy, small_weights(np.float32, n_hidden=n_hidden))
    rate, chains = 0.01 / batch, X[:batch].bernoulli()

    @torch.no_grad()
    def step():
        nonlocal chains
        v = X[next(minibatches)]
        p = torch.sigmoid(v @ W + c)
        h = torch.bernoulli(torch.sigmoid(chains @ W + c) if persistent else p)
        chains = torch.bernoulli(torch.sigmoid(h @ W.T + b))
        p_model = torch.sigmoid(chains @ W + c)
        W.add_(v.T @ p - chains.T @ p_model, alpha=rate)
        b.add_((v - chains).sum(0), alpha=rate)
        c.add_((p - p_model).sum(0), alpha=rate)

    return microseconds(step=step)


def torch_pcd(batch):
    """The same update by PCD-1 in eager PyTorch."""
    return torch_rbm(batch, persistent=True)


def jax_rbm(batch):
    """The same update by CD-1 in JAX, compiled whole."""
    import jax
    import jax.numpy as jnp

    X, minibatches = images(batch)
    parameters, key = tuple(map(jnp.asarray, small_weights(np.float32))), jax.random.key(0)

    @jax.jit
    def update(parameters, key, v):
        W, b, c = parameters
        key, up, down = jax.random.split(key, 3)
        p = jax.nn.sigmoid(v @ W + c)
        h = jax.random.bernoulli(up, p).astype(v.dtype)
        v_model = jax.random.bernoulli(down, jax.nn.sigmoid(h @ W.T + b)).astype(v.dtype)
        p_model = jax.nn.sigmoid(v_model @ W + c)
        rate = 0.01 / batch
        W = W + rate * (v.T @ p - v_model.T @ p_model)
        return (W, b + rate * (v - v_model).sum(0), c + rate * (p - p_model).sum(0)), key

    def step():
        nonlocal parameters, key
        parameters, key = jax.block_until_ready(update(parameters, key, X[next(minibatches)]))

    return microseconds(step=step)


TEMPERATURES = 10  # of an annealing run, or of the replicas, that are timed as one step


def companion_ais(batch):
    """So many chains of annealed importance sampling, taken along a short ladder; and their matrix products."""
    from companion.annealing import Anneal, temperature_ladder
    from companion.backend import Noise, generator
    from companion.rbm import RBM

    rbm, noise = RBM.from_parameters(*small_weights(np.float32)), Noise(generator(0))
    betas, v = temperature_ladder(TEMPERATURES), np.ones((batch, 784), np.float32)
    W, h, means = rbm.W_, np.ones((batch, 500), np.float32), np.empty((batch, 784), np.float32)

    def step():
        for _ in Anneal(rbm, v, betas, rng=noise):
            pass

    def products():
        for _ in range(len(betas) - 1):
            np.matmul(v, W, out=h)
            np.matmul(h, W.T, out=means)

    return microseconds(step=step, products=products)


def torch_ais(batch):
    """The same in eager PyTorch."""
    import torch
    from torch.nn.functional import softplus

    from companion.annealing import temperature_ladder

    torch.set_num_threads(1)
    W, b, c = map(torch.from_numpy, small_weights(np.float32))
    betas = [float(beta) for beta in temperature_ladder(TEMPERATURES)]

    @torch.no_grad()
    def step():
        v, log_weights = torch.ones(batch, 784), torch.zeros(batch, dtype=torch.float64)
        for before, beta in zip(betas, betas[1:]):
            x, tilt = v @ W + c, v @ b
            log_weights += (beta - before) * tilt + softplus(beta * x).sum(1) - softplus(before * x).sum(1)
            h = torch.bernoulli(torch.sigmoid(beta * x))
            v = torch.bernoulli(torch.sigmoid(beta * (h @ W.T + b)))

    return microseconds(step=step)


def companion_tempering(batch):
    """A step of parallel tempering, that many chains at each temperature; and its two matrix products."""
    from companion.annealing import ParallelTempering
    from companion.backend import Noise, generator
    from companion.rbm import RBM

    rbm, noise = RBM.from_parameters(*small_weights(np.float32)), Noise(generator(0))
    replicas = ParallelTempering(rbm, np.ones((batch, 784), np.float32), np.linspace(1, 0, TEMPERATURES), rng=noise)
    W, v = rbm.W_, np.ones((TEMPERATURES * batch, 784), np.float32)
    h, means = np.ones((len(v), 500), np.float32), np.empty_like(v)

    def products():
        np.matmul(v, W, out=h)
        np.matmul(h, W.T, out=means)

    return microseconds(step=lambda: next(replicas), products=products)


def torch_tempering(batch):
    """The same in eager PyTorch: every second pair of neighbours proposes to swap, even ones and odd ones in turn."""
    import torch
    from torch.nn.functional import softplus

    torch.set_num_threads(1)
    W, b, c = map(torch.from_numpy, small_weights(np.float32))
    betas, v, t = torch.linspace(1, 0, TEMPERATURES)[:, None, None], torch.ones(TEMPERATURES, batch, 784), 0

    def log_p(rows, x, tilt):
        return betas[rows][..., 0] * tilt + softplus(betas[rows] * x).sum(-1)

    @torch.no_grad()
    def step():
        nonlocal v, t
        x, tilt = v @ W + c, v @ b
        cold = torch.arange(t % 2, TEMPERATURES - 1, 2)
        hot, t = cold + 1, t + 1
        gain = sum(log_p(q, x[p], tilt[p]) - log_p(p, x[p], tilt[p]) for p, q in ((cold, hot), (hot, cold)))
        swap = (torch.rand_like(gain) < gain.clamp(max=0).exp())[..., None]
        for each in (v, x):
            each[cold], each[hot] = torch.where(swap, each[hot], each[cold]), torch.where(swap, each[cold], each[hot])
        h = torch.bernoulli(torch.sigmoid(betas * x))
        v = torch.bernoulli(torch.sigmoid(betas * (h @ W.T + b)))

    return microseconds(step=step)


def companion_adam(batch):
    """An update of Adam on all weights of a 784-500-10 network; `batch` does not matter."""
    from companion.optimize import Adam

    parameters, gradients = [[0.01 * array for array in weights()] for _ in range(2)]
    optimizer = Adam(1e-6)
    optimizer.start(parameters)
    return microseconds(step=lambda: optimizer.update(parameters, gradients))


def torch_adam(batch):
    """The same in PyTorch, in the form that it chooses for a processor."""
    import torch

    torch.set_num_threads(1)
    parameters = [torch.from_numpy(0.01 * array).requires_grad_() for array in weights()]
    for parameter in parameters:
        parameter.grad = parameter.detach().clone()
    return microseconds(step=torch.optim.Adam(parameters, 1e-6).step)


def weights():
    """Arrays of the shapes of a 784-500-10 network's parameters."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in ((784, 500), (500,), (500, 10), (10,))]


def companion_batchnorm(batch):
    """Forth and back through batch normalisation of 500 units."""
    from companion.layers import BatchNorm

    x, delta = (np.random.default_rng(i).standard_normal((batch, 500), np.float32) for i in range(2))
    layer = BatchNorm(*(np.full(500, value, np.float32) for value in (1, 0, 0, 1)))
    spare = np.empty_like(x)  # a backward pass may work in what it was handed

    def step():
        layer.forward(x)
        np.copyto(spare, delta)
        layer.backward(spare)

    return microseconds(step=step)


def torch_batchnorm(batch):
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(1)
    x, delta = (torch.from_numpy(np.random.default_rng(i).standard_normal((batch, 500), np.float32)) for i in range(2))
    layer = torch.nn.BatchNorm1d(500)
    x.requires_grad_()

    def step():
        x.grad = layer.weight.grad = layer.bias.grad = None
        layer(x).backward(delta)

    return microseconds(step=step)


def sklearn_rbm(batch, dtype=np.float32):
    """The update of scikit-learn, which has persistent chains: as many products."""
    from sklearn.neural_network import BernoulliRBM

    X, minibatches = images(batch)
    X = X.astype(dtype)
    model = BernoulliRBM(500, learning_rate=0.01, batch_size=batch, n_iter=1, random_state=0).fit(X[:100])
    W, model.intercept_visible_, model.intercept_hidden_ = small_weights(dtype)
    model.components_ = np.asfortranarray(W.T)  # the order of memory that its `fit` chooses
    rng = np.random.RandomState(0)  # noqa: NPY002 (what it draws from)
    model._fit(X[next(minibatches)], rng)
    assert model.components_.dtype == model.h_samples_.dtype == dtype
    return microseconds(step=lambda: model._fit(X[next(minibatches)], rng))


def sklearn64_rbm(batch):
    """The same on float64, which is what its users' arrays are."""
    return sklearn_rbm(batch, np.float64)


def float64_rbm(batch):
    """The same update as the formulas have it, in NumPy's own precision and with its binomial draws."""
    X, minibatches = images(batch)
    X = X.astype(np.float64)
    W, b, c = small_weights(np.float64)
    rng = np.random.default_rng(0)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def step():
        nonlocal W, b, c
        v = X[next(minibatches)]
        p = sigmoid(v @ W + c)
        h = rng.binomial(1, p)
        v_model = rng.binomial(1, sigmoid(h @ W.T + b))
        p_model = sigmoid(v_model @ W + c)
        W += 0.01 * (v.T @ p - v_model.T @ p_model) / batch
        b += 0.01 * (v - v_model).mean(axis=0)
        c += 0.01 * (p - p_model).mean(axis=0)

    return microseconds(step=step)


STEPS, KEYS, N_HIDDEN, N_RECURRENT, GIBBS = 50, 46, 150, 100, 15  # of the music of chapter 11


def rolls(batch):
    """Pieces (batch, STEPS, KEYS) with four keys in a hundred down, and small parameters."""
    rng = np.random.default_rng(0)
    shapes = {"W": (KEYS, N_HIDDEN), "visible_bias": (KEYS,), "hidden_bias": (N_HIDDEN,), "W_uv": (N_RECURRENT, KEYS),
              "W_uh": (N_RECURRENT, N_HIDDEN), "W_vu": (KEYS, N_RECURRENT), "W_uu": (N_RECURRENT, N_RECURRENT),
              "state_bias": (N_RECURRENT,)}  # fmt: skip
    parameters = {name: 0.05 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return (rng.random((batch, STEPS, KEYS)) < 0.08).astype(np.float32), parameters


def companion_rnnrbm(batch):
    """An update of `RNNRBM` by CD-15 at all steps of all pieces, with Adam."""
    from companion.backend import Noise, generator
    from companion.optimize import Adam
    from companion.rnnrbm import RNNRBM

    v, parameters = rolls(batch)
    v, noise, optimizer = v.reshape(-1, KEYS), Noise(generator(0)), Adam(1e-6)
    optimizer.start(list(parameters.values()))

    def step():
        _, gradients, _ = RNNRBM.gradients(parameters, v, [STEPS] * batch, noise, k=GIBBS)
        optimizer.update(list(parameters.values()), [gradients[name] for name in parameters])

    return microseconds(step=step)


def torch_rnnrbm(batch):
    """The same in eager PyTorch: its autograd goes back through time."""
    import torch
    from torch.nn.functional import softplus

    torch.set_num_threads(1)
    v, parameters = rolls(batch)
    v, p = torch.from_numpy(v), {name: torch.from_numpy(array).requires_grad_() for name, array in parameters.items()}
    optimizer = torch.optim.Adam(p.values(), 1e-6)

    def step():
        drive, u, before = v @ p["W_vu"] + p["state_bias"], v.new_zeros(batch, N_RECURRENT), []
        for t in range(STEPS):
            before.append(u)
            u = torch.tanh(drive[:, t] + u @ p["W_uu"])
        before = torch.stack(before, 1)
        b, c = before @ p["W_uv"] + p["visible_bias"], before @ p["W_uh"] + p["hidden_bias"]
        with torch.no_grad():
            ends = v
            for _ in range(GIBBS):
                h = torch.bernoulli(torch.sigmoid(ends @ p["W"] + c))
                ends = torch.bernoulli(torch.sigmoid(h @ p["W"].T + b))
        energies = [-(x * b).sum(-1) - softplus(x @ p["W"] + c).sum(-1) for x in (v, ends)]
        optimizer.zero_grad()
        (energies[0] - energies[1]).mean().backward()
        optimizer.step()

    return microseconds(step=step)


WORDS, N_IN, N_CELL = 20, 150, 64  # of the sentences of chapter 10: words, numbers for each, units of the LSTM


def sentences(batch):
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape, np.float32) for shape in ((WORDS, batch, N_IN), (WORDS, batch, N_CELL)))


def companion_lstm(batch):
    """Forth and back through an `LSTM`, from inputs to the gradients of its parameters, and a step of Adam."""
    from companion.backend import generator
    from companion.optimize import Adam
    from companion.recurrent import LSTM, Packing

    x, delta = (array.reshape(WORDS * batch, -1) for array in sentences(batch))
    cell, packing, optimizer = LSTM(*LSTM.initial(N_IN, N_CELL, generator(0))), Packing([WORDS] * batch), Adam(1e-6)
    optimizer.start(list(cell.parameters))

    def step():
        cell.forward(x, packing)
        cell.backward(delta.copy())
        optimizer.update(list(cell.parameters), list(cell.gradients))

    return microseconds(step=step)


def torch_lstm(batch):
    """The same in PyTorch, whose LSTM is one compiled kernel."""
    import torch

    torch.set_num_threads(1)
    x, delta = map(torch.from_numpy, sentences(batch))
    x.requires_grad_()
    cell = torch.nn.LSTM(N_IN, N_CELL)
    optimizer = torch.optim.Adam(cell.parameters(), 1e-6)

    def step():
        optimizer.zero_grad()
        cell(x)[0].backward(delta)
        optimizer.step()

    return microseconds(step=step)


if __name__ == "__main__":
    library, name, batch, *options = sys.argv[1:]
    with threadpool_limits(1):
        print(json.dumps(globals()[f"{library}_{name}"](int(batch), **json.loads(*options or ["{}"]))))
