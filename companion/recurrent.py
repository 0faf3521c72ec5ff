r"""Recurrent layers, and how sequences of unequal length go through them.

.. math:: h_t = \tanh(x_t W + h_{t-1} U + b)

Sequences of a minibatch are packed: the first elements of all of them stand first, then all second ones, and so on,
longer sequences above shorter ones. The rows of time t then follow those of time t − 1, nothing is padded, and nothing
has to be masked.
"""

from itertools import pairwise

import numpy as np

from .backend import to_device, to_numpy, xp
from .functions import sigmoid
from .layers import Layer, initial_weights

__all__ = ["GRU", "LSTM", "Elman", "Packing", "clip_norm", "orthogonal"]


class Packing:
    """Where the elements of sequences of unequal length stand when they are packed.

    Parameters
    ----------
    lengths : array_like (n,)

    Attributes
    ----------
    sizes : list of int
        How many sequences there are at each time.
    times : list of slice
        The rows of each time.
    rows : array (N,), on the device
        The row of each element, sequence after sequence.
    reverse : array (N,), on the device
        The rows in an order that is packed, too, and reads every sequence from its end. Doing it twice undoes it.
    before : array (N − n,), on the device
        The row of the element before, for every row that has one: all but the first n.
    """

    def __init__(self, lengths):
        self.lengths = lengths = np.asarray(lengths)
        rank = np.empty_like(lengths)
        rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
        sizes = (lengths[:, None] > np.arange(lengths.max())).sum(axis=0)
        starts = np.concatenate([[0], sizes.cumsum()])
        t, sequence = self.positions(), np.repeat(np.arange(len(lengths)), lengths)
        rows = starts[t] + rank[sequence]
        reverse = np.empty_like(rows)
        reverse[rows] = starts[lengths[sequence] - 1 - t] + rank[sequence]
        self.sizes, self.times = sizes.tolist(), [slice(*pair) for pair in pairwise(starts.tolist())]
        before = np.arange(sizes[0], starts[-1]) - np.repeat(sizes[:-1], sizes[1:])
        self.rows, self.reverse, self.before = to_device(rows), to_device(reverse), to_device(before)

    def positions(self):
        """Return the position (N,) of every element in its sequence, sequence after sequence, on the host."""
        return np.concatenate([np.arange(length) for length in self.lengths])

    def windows(self, words, width, padding=0):
        """Return, for each of the numbers `words` (N,), the `width` numbers around it, `padding` beyond the sequences.

        The words come sequence after sequence, from the host; the windows (N, width) are packed, on the device.
        """
        t, length = self.positions()[:, None], np.repeat(self.lengths, self.lengths)[:, None]
        beside = np.arange(width) - width // 2
        inside = (t + beside >= 0) & (t + beside < length)
        places = np.where(inside, np.arange(len(words))[:, None] + beside, 0)
        windows = np.empty_like(places)
        windows[to_numpy(self.rows)] = np.where(inside, words[places], padding)
        return to_device(windows)

    def split(self, packed):
        """Return what is packed (N, ...) as a list of arrays, one for each sequence, on the host."""
        return np.split(to_numpy(packed[self.rows]), self.lengths.cumsum()[:-1])


# ------------------------------------------------------------------------------------------------------------- cells


class Elman(Layer):
    r"""The simple recurrent network, :math:`h_t = \tanh(x_t W + h_{t-1} U + b)`, with :math:`h_0 = 0`.

    Source: Elman (1990), *Finding structure in time*.

    Parameters
    ----------
    W : array (n_in, n_hidden)
    b : array (n_hidden,)
    U : array (n_hidden, n_hidden), optional
        Without it nothing is remembered, and a layer of tanh units is left.
    """

    GATES = 1  # how many times n_hidden columns there are

    @classmethod
    def initial(cls, n_in, n_hidden, rng, remembers=True):
        """Return W, b and, unless it is to remember nothing, U, as they are before training, in float32."""
        W = xp.concatenate([initial_weights(n_in, n_hidden, "tanh", rng) for _ in range(cls.GATES)], axis=1)
        U = np.concatenate([orthogonal(n_hidden, rng) for _ in range(cls.GATES)], axis=1)
        b = xp.zeros(cls.GATES * n_hidden, xp.float32)
        return (W, b, to_device(U, xp.float32)) if remembers else (W, b)

    def __init__(self, W, b, U=None):
        self.W, self.b, self.U = W, b, U
        self.parameters = (W, b) if U is None else (W, b, U)
        self.gradients = tuple(map(xp.empty_like, self.parameters))

    def forward(self, x, packing):
        """Return the states (N, n_hidden) for packed inputs x (N, n_in)."""
        self._h = h = self._inputs(x, packing)
        for now, earlier in _steps(packing):
            if earlier and self.U is not None:
                h[now] += h[earlier] @ self.U
            xp.tanh(h[now], out=h[now])
        return h

    def _inputs(self, x, packing):
        """Take in packed inputs x (N, n_in); return what comes of them, whatever came before."""
        if len(x) != packing.times[-1].stop:
            raise ValueError(f"x: expected {packing.times[-1].stop} rows, one for each element, found {len(x)}")
        self._x, self._packing = x, packing
        return x @ self.W + self.b

    def backward(self, delta):
        r"""Set the gradients from those of the states, delta (N, n_hidden), which is overwritten; return that of x.

        Back in time, each state's gradient is complete when that of the later one has come:
        :math:`\delta a_t = \delta h_t (1 - h_t^2)` and :math:`\delta h_{t-1} \mathrel{+}= \delta a_t U^\top`.
        """
        h = self._h
        slope = 1 - h * h
        for now, earlier in reversed(list(_steps(self._packing))):
            delta[now] *= slope[now]
            if earlier and self.U is not None:
                delta[earlier] += delta[now] @ self.U.T
        return self._collect(delta, h)

    def _collect(self, da, h, du=None):
        """Sum the gradients of W, b and U over all times, from those of the activations; return that of x.

        `du` are those of h U, where they are others.
        """
        dW, db, *dU = self.gradients
        xp.matmul(self._x.T, da, out=dW)
        xp.sum(da, axis=0, out=db)
        if dU:
            du = da if du is None else du
            xp.matmul(h[self._packing.before].T, du[self._packing.sizes[0] :], out=dU[0])
        return da @ self.W.T


class LSTM(Elman):
    r"""Long short-term memory: a cell :math:`c_t` that is added to, and gates that say what comes in and goes out.

    .. math:: i, f, o = \sigma(x_t W + h_{t-1} U + b), \quad g = \tanh(\dots), \quad
              c_t = f \odot c_{t-1} + i \odot g, \quad h_t = o \odot \tanh(c_t)

    Sources: Hochreiter and Schmidhuber (1997), *Long short-term memory*; the forget gate f is that of Gers,
    Schmidhuber and Cummins (2000), *Learning to forget*.

    Parameters
    ----------
    W : array (n_in, 4 n_hidden)
        The columns of i, f, o and g, in this order; so for the others.
    b : array (4 n_hidden,)
    U : array (n_hidden, 4 n_hidden)
    """

    GATES = 4

    @classmethod
    def initial(cls, n_in, n_hidden, rng):
        """Return W, b and U as they are before training: at first most is remembered for long."""
        W, b, U = super().initial(n_in, n_hidden, rng)
        b[n_hidden : 2 * n_hidden] = 2
        return W, b, U

    def forward(self, x, packing):
        """Return the states (N, n_hidden) for packed inputs x (N, n_in)."""
        n, self._gates = len(self.U), self._inputs(x, packing)
        gates = self._gates
        self._c, self._tanh_c, self._h = (xp.empty((len(x), n), gates.dtype) for _ in range(3))
        for now, earlier in _steps(packing):
            a, c = gates[now], self._c[now]
            if earlier:
                a += self._h[earlier] @ self.U
            sigmoid(a[:, : 3 * n], out=a[:, : 3 * n])
            xp.tanh(a[:, 3 * n :], out=a[:, 3 * n :])
            i, f, o, g = _parts(a, 4)
            xp.multiply(i, g, out=c)
            if earlier:
                c += f * self._c[earlier]
            xp.tanh(c, out=self._tanh_c[now])
            xp.multiply(o, self._tanh_c[now], out=self._h[now])
        return self._h

    def backward(self, delta):
        """Set the gradients from those of the states, delta (N, n_hidden), which is overwritten; return that of x."""
        da, dc = xp.empty_like(self._gates), xp.zeros_like(self._c)
        i, f, o, g = _parts(self._gates, 4)
        into_c, c = o * (1 - self._tanh_c**2), self._c
        # how much each activation moves what its gate moves: slopes of the logistic function and of tanh
        slope_i, slope_f, slope_o, slope_g = g * i * (1 - i), f * (1 - f), self._tanh_c * o * (1 - o), i * (1 - g * g)
        for now, earlier in reversed(list(_steps(self._packing))):
            dh, d, (di, df, do, dg) = delta[now], dc[now], _parts(da[now], 4)
            d += dh * into_c[now]
            xp.multiply(d, slope_i[now], out=di)
            xp.multiply(dh, slope_o[now], out=do)
            xp.multiply(d, slope_g[now], out=dg)
            if earlier:
                xp.multiply(d * c[earlier], slope_f[now], out=df)
                dc[earlier] += d * f[now]
                delta[earlier] += da[now] @ self.U.T
            else:
                df[...] = 0
        return self._collect(da, self._h)


class GRU(Elman):
    r"""The gated recurrent unit: a state that is kept in part, without a cell beside it.

    .. math:: z, r = \sigma(x_t W + h_{t-1} U + b), \quad g = \tanh(x_t W_g + b_g + r \odot h_{t-1} U_g), \quad
              h_t = z \odot h_{t-1} + (1 - z) \odot g

    Source: Cho et al. (2014), *Learning phrase representations using RNN encoder–decoder*, section 2.3; r stands
    outside the product, as in most programs.

    Parameters
    ----------
    W : array (n_in, 3 n_hidden)
        The columns of z, r and g, in this order; so for the others.
    b : array (3 n_hidden,)
    U : array (n_hidden, 3 n_hidden)
    """

    GATES = 3

    @classmethod
    def initial(cls, n_in, n_hidden, rng):
        """Return W, b and U as they are before training: at first most is remembered for long."""
        W, b, U = super().initial(n_in, n_hidden, rng)
        b[:n_hidden] = 1
        return W, b, U

    def forward(self, x, packing):
        """Return the states (N, n_hidden) for packed inputs x (N, n_in)."""
        n, self._gates = len(self.U), self._inputs(x, packing)
        gates = self._gates
        self._h, self._reached = (xp.zeros((len(x), n), gates.dtype) for _ in range(2))
        for now, earlier in _steps(packing):
            a, h = gates[now], self._h[now]
            if earlier:
                u = self._h[earlier] @ self.U
                a[:, : 2 * n] += u[:, : 2 * n]
                self._reached[now] = u[:, 2 * n :]
            sigmoid(a[:, : 2 * n], out=a[:, : 2 * n])
            z, r, g = _parts(a, 3)
            g += r * self._reached[now]
            xp.tanh(g, out=g)
            xp.multiply(1 - z, g, out=h)
            if earlier:
                h += z * self._h[earlier]
        return self._h

    def backward(self, delta):
        """Set the gradients from those of the states, delta (N, n_hidden), which is overwritten; return that of x."""
        h, (z, r, g), reached = self._h, _parts(self._gates, 3), self._reached
        da, du = xp.empty_like(self._gates), xp.empty_like(self._gates)
        slope_z, slope_r, slope_g = z * (1 - z), reached * r * (1 - r), (1 - z) * (1 - g * g)
        for now, earlier in reversed(list(_steps(self._packing))):
            dh, (dz, dr, dg), into_u = delta[now], _parts(da[now], 3), du[now]
            xp.multiply(dh, slope_g[now], out=dg)
            xp.multiply(dg, slope_r[now], out=dr)
            xp.multiply(dh, slope_z[now], out=dz)
            dz *= h[earlier] - g[now] if earlier else -g[now]
            into_u[...] = da[now]
            _parts(into_u, 3)[2][...] *= r[now]
            if earlier:
                delta[earlier] += dh * z[now] + into_u @ self.U.T
        return self._collect(da, h, du)


def orthogonal(n, rng):
    """Return a random rotation (n, n), on the host: what goes through it, forth or back, is as long as before.

    Source: Saxe, McClelland and Ganguli (2014), *Exact solutions to the nonlinear dynamics of learning*.
    """
    Q, R = np.linalg.qr(rng.standard_normal((n, n)))
    return Q * np.sign(np.diag(R))  # otherwise not all rotations are equally probable


def _steps(packing):
    """Yield, for every time, its rows and the rows of those sequences one time earlier, None at the first."""
    earlier = None
    for size, now in zip(packing.sizes, packing.times):
        yield now, earlier and slice(earlier.start, earlier.start + size)
        earlier = now


def _parts(a, count):
    """Return the columns of a in `count` equal parts, which are views."""
    n = a.shape[1] // count
    return [a[:, k * n : (k + 1) * n] for k in range(count)]


def clip_norm(gradients, most):
    """Scale down a list of gradients, in place, so that all together are not longer than `most`; return how long.

    Source: Pascanu, Mikolov and Bengio (2013), *On the difficulty of training recurrent neural networks*, algorithm 1.
    """
    norm = float(xp.sqrt(sum(xp.vdot(gradient, gradient) for gradient in gradients)))
    if norm > most:
        for gradient in gradients:
            gradient *= most / norm
    return norm
