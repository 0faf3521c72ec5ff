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
    """The same step as every PyTorch tutorial writes it."""
    import torch

    torch.set_num_threads(1)
    x, t = map(torch.from_numpy, digits(batch))
    model = torch.nn.Linear(784, 10)
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=0.01), torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss(model(x), t).backward()
        optimizer.step()

    return microseconds(step=step)


if __name__ == "__main__":
    library, name, batch = sys.argv[1:]
    with threadpool_limits(1):
        print(json.dumps(globals()[f"{library}_{name}"](int(batch))))
