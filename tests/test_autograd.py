"""Gradients of whole networks against those that PyTorch finds by itself, in float64."""

from functools import partial

import numpy as np
import pytest
from helpers import Drawn

from companion.backend import to_device, to_numpy
from companion.image_layers import BatchNorm2D, Conv2D, Flatten, Images, MaxPool2D, Pieces
from companion.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Network,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)
from companion.recurrent import GRU, LSTM, Elman, Packing

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[benchmark]'")

ACTIVATIONS = {"tanh": (Tanh, torch.tanh), "logistic": (Sigmoid, torch.sigmoid), "relu": (ReLU, torch.relu)}
SIZES = [7, 6, 5, 4]
N = 11


def initial_arrays(rng, batch_norm):
    """The arrays of three layers, in the order of a network's parameters, and its running averages."""
    arrays, running = {}, {}
    for i, (n_in, n_out) in enumerate(zip(SIZES, SIZES[1:]), start=1):
        arrays[f"W{i}"], arrays[f"b{i}"] = rng.normal(size=(n_in, n_out)), rng.normal(size=n_out)
        if batch_norm and i < 3:
            arrays[f"gamma{i}"], arrays[f"beta{i}"] = rng.uniform(0.5, 2, size=n_out), rng.normal(size=n_out)
            running[f"mean{i}"], running[f"var{i}"] = np.zeros(n_out), np.ones(n_out)
    return arrays, running


@pytest.mark.parametrize("dropout", [0, 0.4])
@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0.01, 0), (0, 0.02), (0.01, 0.02)])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_autograd(rng, activation, batch_norm, l1, l2, dropout):
    ours, theirs = ACTIVATIONS[activation]
    x, targets = rng.normal(size=(N, SIZES[0])), rng.integers(SIZES[-1], size=N)
    uniform = {i: rng.uniform(size=(N, SIZES[i - 1])) for i in (1, 2, 3)}
    arrays, running = initial_arrays(rng, batch_norm)

    # PyTorch
    t = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    r = {name: torch.tensor(array) for name, array in running.items()}
    h = torch.tensor(x)
    for i in (1, 2, 3):
        if dropout:
            h = h * torch.tensor(uniform[i] >= dropout) / (1 - dropout)
        h = h @ t[f"W{i}"] + t[f"b{i}"]
        if i < 3 and batch_norm:  # PyTorch's momentum is the share of the new
            h = torch.nn.functional.batch_norm(
                h, r[f"mean{i}"], r[f"var{i}"], t[f"gamma{i}"], t[f"beta{i}"], training=True, momentum=0.01, eps=1e-5
            )
        if i < 3:
            h = theirs(h)
    weights = [t[f"W{i}"] for i in (1, 2, 3)]
    expected = torch.nn.functional.cross_entropy(h, torch.tensor(targets))
    expected = expected + sum(l1 * W.abs().sum() + l2 * (W**2).sum() for W in weights)
    expected.backward()

    # the companion
    d = {name: to_device(array.copy()) for name, array in (arrays | running).items()}
    layers = []
    for i in (1, 2, 3):
        if dropout:
            layers.append(Dropout(dropout, Drawn(to_device(uniform[i]))))
        layers.append(Dense(d[f"W{i}"], d[f"b{i}"], l1, l2))
        if i < 3 and batch_norm:
            layers.append(BatchNorm(*(d[f"{name}{i}"] for name in ("gamma", "beta", "mean", "var"))))
        if i < 3:
            layers.append(ours())
    network, loss = Network(layers), SoftmaxCrossEntropy()
    found = loss.forward(network.forward(to_device(x)), to_device(targets))
    network.backward(loss.backward())

    assert float(found + network.penalty()) == pytest.approx(float(expected.detach()), rel=1e-12)
    assert len(network.gradients) == len(arrays)
    for gradient, tensor in zip(network.gradients, t.values()):  # below a normalisation db is 0 up to rounding
        np.testing.assert_allclose(to_numpy(gradient), tensor.grad.numpy(), rtol=1e-8, atol=1e-13)
    for name, tensor in r.items():
        np.testing.assert_allclose(to_numpy(d[name]), tensor.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize(("pooled_first", "batch_norm"), [(True, False), (False, False), (True, True)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_convolutions_are_those_of_autograd(
    rng, monkeypatch, activation, pooled_first, batch_norm, border
):
    """Two convolutions with pooling, before or after the activation, in pieces of four images."""
    monkeypatch.setattr(Pieces, "ROWS", 4)
    ours, theirs = ACTIVATIONS[activation]
    x, targets = rng.normal(size=(N, 11 * 13)), rng.integers(4, size=N)
    shapes = {"W1": (3, 1, 3, 2), "b1": 3, "W2": (5, 3, 2, 3), "b2": 5}
    sides = [(11, 13), (9, 12), (5 if border else 4, 6), (4 if border else 3, 4), (2 if border else 1, 2)]
    shapes |= {"W3": (5 * np.prod(sides[-1]), 4), "b3": 4}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    running = {}
    if batch_norm:
        for i, n_filters in ((1, 3), (2, 5)):
            arrays |= {f"gamma{i}": rng.normal(size=n_filters), f"beta{i}": rng.normal(size=n_filters)}
            running |= {f"mean{i}": np.zeros(n_filters), f"var{i}": np.ones(n_filters)}

    # PyTorch
    t = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    r = {name: torch.tensor(array) for name, array in running.items()}

    def normalised(h, own):
        return torch.nn.functional.batch_norm(h, *own, training=True, momentum=0.01)

    def maps_of_a_piece(h):
        for i in (1, 2):
            h = torch.nn.functional.conv2d(h, t[f"W{i}"], t[f"b{i}"])
            steps = [lambda h: torch.nn.functional.max_pool2d(h, 2, ceil_mode=border), theirs]
            if batch_norm:
                own = r[f"mean{i}"], r[f"var{i}"], t[f"gamma{i}"], t[f"beta{i}"]
                steps.insert(1, partial(normalised, own=own))
            for step in steps if pooled_first else reversed(steps):
                h = step(h)
        return h.flatten(1)

    pieces = torch.tensor(x).reshape(N, 1, 11, 13).split(4)
    scores = torch.cat([maps_of_a_piece(piece) for piece in pieces]) @ t["W3"] + t["b3"]
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor(targets))
    expected.backward()

    # the companion
    d = {name: to_device(array.copy()) for name, array in (arrays | running).items()}
    layers = [Images(11, 13)]
    for i in (1, 2):
        steps = [MaxPool2D(2, border), ours()]
        if batch_norm:
            steps.insert(1, BatchNorm2D(*(d[f"{name}{i}"] for name in ("gamma", "beta", "mean", "var"))))
        layers += [Conv2D(d[f"W{i}"], d[f"b{i}"]), *(steps if pooled_first else reversed(steps))]
    network = Network([Pieces([*layers, Flatten()]), Dense(d["W3"], d["b3"])])
    loss = SoftmaxCrossEntropy()
    found = loss.forward(network.forward(to_device(x)), to_device(targets))
    network.backward(loss.backward())

    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-12)
    names = ("W", "b", "gamma", "beta") if batch_norm else ("W", "b")
    order = [f"{name}{i}" for i in (1, 2) for name in names] + ["W3", "b3"]
    for name, gradient in zip(order, network.gradients, strict=True):  # below a normalisation db is 0 up to rounding
        np.testing.assert_allclose(to_numpy(gradient), t[name].grad.numpy(), rtol=1e-8, atol=1e-12)
    for name, tensor in r.items():  # each piece is counted once
        np.testing.assert_allclose(to_numpy(d[name]), tensor.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("size", [2, 3])
def test_of_equal_pixels_the_one_that_autograd_takes(rng, size, border):
    x, layer = rng.integers(3, size=(2, 7, 9, 5)) * 1.0, MaxPool2D(size, border)
    t = torch.tensor(x.transpose(3, 0, 1, 2), requires_grad=True)
    expected = torch.nn.functional.max_pool2d(t, size, ceil_mode=border)
    delta = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(delta))
    found = to_numpy(layer.forward(to_device(x))).transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(found, expected.detach().numpy())
    dx = layer.backward(to_device(delta.transpose(1, 2, 3, 0)))
    np.testing.assert_array_equal(to_numpy(dx).transpose(3, 0, 1, 2), t.grad.numpy())


# Ours, PyTorch's, and where the gates are in ours that it has first, second, ...
CELLS = {
    "Elman": (Elman, torch.nn.RNN, [0]),
    "LSTM": (LSTM, torch.nn.LSTM, [0, 1, 3, 2]),
    "GRU": (GRU, torch.nn.GRU, [1, 0, 2]),
}


@pytest.mark.parametrize("name", CELLS)
def test_gradients_through_time_are_those_of_autograd(rng, name):
    """For sequences of unequal length; of two biases for the same sum, PyTorch's second one is zero."""
    ours, theirs, order = CELLS[name]
    n_in, n, lengths, gates = 3, 4, [5, 2, 6, 1], ours.GATES
    W, b, U = rng.normal(size=(n_in, gates * n)), rng.normal(size=gates * n), rng.normal(size=(n, gates * n))
    sequences = [rng.normal(size=(length, n_in)) for length in lengths]
    deltas = [rng.normal(size=(length, n)) for length in lengths]

    cell = theirs(n_in, n).double()
    parts = [np.split(array, gates, axis=-1) for array in (W, U, b)]
    with torch.no_grad():
        for parameter, part in zip((cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0), parts):
            parameter[...] = torch.tensor(np.concatenate([part[k].T for k in order]))
        cell.bias_hh_l0.zero_()
    xs = [torch.tensor(x[:, None], requires_grad=True) for x in sequences]
    states = [cell(x)[0][:, 0] for x in xs]
    sum((state * torch.tensor(delta)).sum() for state, delta in zip(states, deltas)).backward()

    packing, layer = Packing(lengths), ours(to_device(W), to_device(b), to_device(U))
    packed, delta = (np.empty((sum(lengths), width)) for width in (n_in, n))
    rows = to_numpy(packing.rows)
    packed[rows], delta[rows] = np.concatenate(sequences), np.concatenate(deltas)
    found = packing.split(layer.forward(to_device(packed), packing))
    dx = packing.split(layer.backward(to_device(delta)))

    for mine, state, x, tensor in zip(found, states, dx, xs):
        np.testing.assert_allclose(mine, state.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(x, tensor.grad.numpy()[:, 0], rtol=1e-8, atol=1e-12)
    for gradient, tensor in zip(layer.gradients, (cell.weight_ih_l0, cell.bias_ih_l0, cell.weight_hh_l0)):
        blocks = np.split(tensor.grad.numpy(), gates)
        expected = np.concatenate([blocks[order.index(k)].T for k in range(gates)], axis=-1)
        np.testing.assert_allclose(to_numpy(gradient), expected, rtol=1e-8, atol=1e-12)
