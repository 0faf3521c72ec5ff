"""One training step of each library, timed in a process of its own: ``python steps.py LIBRARY STEP BATCH``.

Prints a JSON object of microseconds: the best of several rounds, so that a busy machine disturbs little. Data, sizes
and precision are the same for all.
"""

import json
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

ROUNDS, SECONDS = 15, 0.1


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


def torch_step(model, batch):
    """Time a step of eager PyTorch as every tutorial writes it."""
    import torch

    torch.set_num_threads(1)
    x, t = map(torch.from_numpy, digits(batch))
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
    parameters = model._initial_parameters(784, 10, generator(0))
    network, loss, optimizer = model._network(parameters, None), SoftmaxCrossEntropy(), model._optimizer(1)
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


def sklearn_mlp(batch):
    """The same network in scikit-learn: one call of `partial_fit` is one step."""
    from sklearn.neural_network import MLPClassifier

    x, t = digits(batch)
    model = MLPClassifier((500,), activation="tanh", solver="sgd", alpha=0.0, batch_size=batch, momentum=0.0)
    model.partial_fit(x, t, classes=np.arange(10))
    return microseconds(step=lambda: model.partial_fit(x, t))


if __name__ == "__main__":
    library, name, batch = sys.argv[1:]
    with threadpool_limits(1):
        print(json.dumps(globals()[f"{library}_{name}"](int(batch))))
