r"""Up-down fine-tuning of a deep belief network: the contrastive version of the wake–sleep algorithm.

*Wake*: draw codes upwards from q, for images; move the way down to where it gives each layer back from the one above.
*Top*: go on with Gibbs steps in the machine on top, and learn there as a Boltzmann machine does. *Sleep*: from where
those steps end draw everything downwards; move the way up to where it finds out what each layer was drawn from.

Source: Hinton, Osindero and Teh (2006), *A fast learning algorithm for deep belief nets*, section 5 and appendix B.
"""

import copy
from types import SimpleNamespace

from sklearn.utils.validation import validate_data

from .backend import Noise, generator, one_thread, to_device, xp
from .dbn import DBN
from .estimator import Estimator, own_copy, stays_if_refused
from .functions import bernoulli, sigmoid
from .optimize import Descent
from .rbm import RBM, ContrastiveDivergence

__all__ = ["UpDown", "WakeSleep"]


class UpDown(Estimator):
    r"""Fine-tuning of a pretrained deep belief network for what it generates, by up and down passes.

    The way up, q, and the way down, p, begin with the pretrained weights and then part: `network_` has weights
    ``down_W1``, ``down_W2``, ... of its own for the way down. The network given stays as it was.

    Parameters
    ----------
    dbn : companion.dbn.DBN
        Pretrained, of binary images, perhaps with labels. Scikit-learn's ``clone`` keeps it as it is.
    learning_rate : float
        Of all parameters. Small, for they are good already.
    n_epochs, batch_size
    k : int
        Gibbs steps in the machine on top.
    persistent : bool
        Its chains go on from update to update, as many as a minibatch has rows; otherwise they start at the codes.
    momentum, schedule, decay, warmup
        See `companion.optimize.SGD` and `companion.optimize.Schedule`.
    averaging : float
        As in `companion.optimize.MovingAverage`; 0 for none.
    random_state : None, int or generator
    verbose : bool

    Attributes
    ----------
    network_ : companion.dbn.DBN
        Fine-tuned; a network like any other, which can be saved, asked for its `bound`, dream, or classify.
    history_ : companion.training.History
        Its ``train_loss`` is that of the machine on top: see `companion.rbm.RBM`.
    """

    def __init__(
        self, dbn, *, learning_rate=1e-3, n_epochs=10, batch_size=100, k=1, persistent=True, momentum=0.0,
        schedule="linear", decay=0.0, warmup=0, averaging=0.0, random_state=None, verbose=False,
    ):  # fmt: skip
        self.dbn = dbn
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.k = k
        self.persistent = persistent
        self.momentum = momentum
        self.schedule = schedule
        self.decay = decay
        self.warmup = warmup
        self.averaging = averaging
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_clone__(self):
        """Return an unfitted copy for the same network: a clone of that would have learned nothing."""
        options = self.get_params(deep=False)
        return type(self)(options.pop("dbn"), **copy.deepcopy(options))

    @stays_if_refused
    def fit(self, X, y=None, *, watch=None, checkpoint=None):
        """Fine-tune on images X (n, n_features).

        Parameters
        ----------
        X : array_like (n, n_features)
            From 0 to 1; binary pixels are drawn afresh for every minibatch, with the grey levels as probabilities.
        y : array_like (n,), optional
            Labels, needed where the network has learned them.
        watch : callable, optional
            ``watch(self)`` is called after every epoch; `network_` is then the network so far.
        checkpoint : path-like, optional
            See `companion.estimator.TiedLayer.fit`.

        Raises
        ------
        ValueError
            If a setting or the data are not what they must be, or the network has not learned, or has units that are
            not binary.
        """
        self._check_settings()
        if not isinstance(self.dbn, DBN):
            raise ValueError(f"expected a companion.dbn.DBN to begin with, found {type(self.dbn).__name__}")
        layers = self.dbn._check_bound(y)
        validate_data(self.dbn, X, reset=False, skip_check_array=True)  # the names and the number of its columns
        X = self._check_data(X, reset=True)
        layers[0].check_pixels(X, always=True)
        Y = None if y is None else self.dbn._one_hot(y, len(X))
        at = self._prepare(X)
        self.network_ = _network(self.dbn, at.descent.kept)

        def step(indices):
            v = bernoulli(X[indices], at.noise)
            loss = at.gradients(v, None if Y is None else Y[indices])
            at.descent.update(list(at.gradients.gradients.values()))
            return loss

        data = [X] if Y is None else [X, Y]
        return self._train(
            step, data, at, given=at.descent.kept, state=at.gradients.state, watch=watch, checkpoint=checkpoint
        )

    def _prepare(self, X):
        rng = generator(self.random_state)
        noise, top = Noise(rng), self.dbn.top_
        parameters = {}
        for number, (up, down) in enumerate(zip(self.dbn.layers_[:-1], self.dbn.downward_), start=1):
            parameters |= {f"up_W{number}": up.W_, f"up_b{number}": up.hidden_bias_,
                           f"down_W{number}": down.W_, f"down_b{number}": down.visible_bias_}  # fmt: skip
        parameters |= top.parameters_
        parameters = {name: own_copy(array) for name, array in parameters.items()}
        gradients = WakeSleep(parameters, noise, k=self.k, n_chains=self.batch_size if self.persistent else 0)
        if self.persistent:  # chains from coin tosses would first have to find the digits
            with one_thread():
                gradients.begin_at(X[: self.batch_size])
        descent = Descent(self._optimizer(self._n_updates(X)), parameters, averaging=self.averaging)
        return SimpleNamespace(rng=rng, noise=noise, descent=descent, gradients=gradients)


class WakeSleep:
    r"""The gradients of both phases, and of the machine on top, for a minibatch; as losses, to be made small.

    With all states of the layers given, each gradient is that of a logistic regression of one layer on another:

    .. math:: -\frac{\partial \log p(h^{(l-1)} \mid h^{(l)})}{\partial W_\text{down}}
              = (\hat h^{(l-1)} - h^{(l-1)})^\top h^{(l)}, \qquad
              -\frac{\partial \log q(h^{(l)} \mid h^{(l-1)})}{\partial W_\text{up}}
              = h^{(l-1)\top} (\hat h^{(l)} - h^{(l)}),

    with the means :math:`\hat h` that the weights predict; states are those of the wake phase in the first, of the
    sleep phase in the second, and :math:`h^{(0)} = v`.

    Parameters
    ----------
    parameters : dict of str to array
        ``up_W1`` (n_visible, n_hidden), ``up_b1`` (n_hidden,), ``down_W1`` (n_visible, n_hidden), ``down_b1``
        (n_visible,), and so on for every layer below the top; then ``W``, ``visible_bias`` and ``hidden_bias`` of the
        machine on top. Not copied.
    noise : companion.backend.Noise, numpy.random.Generator or int
    k, n_chains : int
        See `companion.rbm.ContrastiveDivergence`.

    Attributes
    ----------
    gradients : dict of str to array
        By the names of the parameters; overwritten by every call.
    state : dict of str to array
        The chains, if there are any.
    """

    def __init__(self, parameters, noise, *, k=1, n_chains=0):
        depth = sum(name.startswith("up_W") for name in parameters)
        self.up, self.down = (
            [
                RBM.from_parameters(*(parameters[name.format(number)] for name in names))
                for number in range(1, depth + 1)
            ]
            for names in (("up_W{}", "down_b{}", "up_b{}"), ("down_W{}", "down_b{}", "up_b{}"))
        )
        self.noise = noise = Noise.of(noise)
        top = RBM.from_parameters(*(parameters[name] for name in ("W", "visible_bias", "hidden_bias")))
        self.contrast = ContrastiveDivergence(top, noise, k=k, n_chains=n_chains)
        self.state = self.contrast.state
        below = {name: xp.empty_like(array) for name, array in parameters.items() if name.startswith(("up_", "down_"))}
        self.gradients = below | dict(zip(("W", "visible_bias", "hidden_bias"), self.contrast.gradients))

    def __call__(self, v, labels=None):
        """Set `gradients` for the binary images v (n, n_visible) and labels (n, n_classes); return the top's loss."""
        awake = self.wake(v)
        codes = awake[-1]
        loss = self.contrast(codes if labels is None else xp.concatenate([codes, labels], axis=1))
        asleep = self.sleep(self.contrast.particles[:, : codes.shape[1]])
        for number, (up, down) in enumerate(zip(self.up, self.down), start=1):
            below, above = awake[number - 1 : number + 1]
            error = down.propdown(above)
            error -= below
            self._set(f"down_W{number}", error, above, f"down_b{number}", error)
            below, above = asleep[number - 1 : number + 1]
            error = up.propup(below)
            error -= above
            self._set(f"up_W{number}", below, error, f"up_b{number}", error)
        return loss

    def _set(self, weights, left, right, biases, error):
        left = left / len(left)
        xp.matmul(left.T, right, out=self.gradients[weights])
        self.gradients[biases][...] = error.mean(axis=0)

    def wake(self, v):
        """Draw every layer from q given the one below; return v and the draws, [(n, n_visible), (n, n_hidden), ...]."""
        states = [v]
        for layer in self.up:
            states.append(bernoulli(layer.propup(states[-1]), self.noise))
        return states

    def sleep(self, codes):
        """Draw every layer from p given the one above, from codes (n, n_codes) down; return them as `wake` does."""
        states = [codes]
        for layer in reversed(self.down):
            states.insert(0, bernoulli(layer.propdown(states[0]), self.noise))
        return states

    def begin_at(self, v):
        """Set the persistent chains to hidden states that go with images v (n, n_visible), repeated if need be."""
        top, chains = self.contrast.rbm, self.state["chains"]
        codes = self.wake(bernoulli(to_device(v, top.W_.dtype), self.noise))[-1]
        codes = codes[xp.arange(len(chains)) % len(codes)]
        x = codes @ top.W_[: codes.shape[1]] + top.hidden_bias_  # label units, if any, are off
        bernoulli(sigmoid(x), self.noise, out=chains)


def _network(dbn, parameters):
    """Return a network like `dbn` on these very parameters, named as in `WakeSleep`."""
    network = copy.copy(dbn)
    depth, n_codes = len(dbn.layers_), len(dbn.layers_[-1].visible_bias_)
    own = {}
    for number in range(1, depth):
        names = {"W": "up_W", "b": "up_b", "visible_bias": "down_b", "down_W": "down_W"}
        own |= {f"{name}{number}": parameters[f"{theirs}{number}"] for name, theirs in names.items()}
    W, b = parameters["W"], parameters["visible_bias"]
    own |= {f"W{depth}": W[:n_codes], f"visible_bias{depth}": b[:n_codes], f"b{depth}": parameters["hidden_bias"]}
    if len(W) > n_codes:
        own |= {"label_weights": W[n_codes:], "label_bias": b[n_codes:]}
    network.parameters_, network._pretrained = own, True
    return network
