"""CD-k and PCD-k at the same lesson: two machines that begin alike and learn images that can all be listed (chapter 6).

There are 30 bars and stripes of 4 × 4 pixels, among 65,536 images: what each machine believes is known exactly.
"""

from itertools import islice

import numpy as np

from .backend import Noise, generator, one_thread, to_device, to_numpy
from .data import bars_and_stripes
from .likelihood import exact_log_partition, log_likelihood
from .optimize import SGD
from .rbm import RBM, ContrastiveDivergence

__all__ = ["CDAndPCD"]

SIDE, N_HIDDEN = 4, 12  # pixels of an image's side; log Z takes 2 ** 12 terms
COPIES = 10  # of the data set in a minibatch, so that there are 300 chains: with few, PCD is nearly all noise


class CDAndPCD:
    """Two restricted Boltzmann machines with the same initial weights, one learning by CD-k, one by PCD-k.

    Parameters
    ----------
    k : int
    learning_rate : float
    seed : int
        Of the initial weights, and of a stream of random numbers for each machine: the same seed, the same training.

    Attributes
    ----------
    rbms : list of companion.rbm.RBM
        CD's and PCD's.
    images : array (30, 16)
        The data set, on the host.
    places : numpy.ndarray (30,)
        Where its images are in `everything`.
    everything : array (65536, 16)
        All images, on the device, the last pixel changing fastest.
    updates : int
    log_z : list of companion.likelihood.LogPartition
        Exact, of both machines as they are.
    """

    def __init__(self, k=1, learning_rate=0.1, seed=0):
        self.images = bars_and_stripes(SIDE)
        self.places = self.number(self.images)
        self.data, self.batch = to_device(self.images), to_device(np.tile(self.images, (COPIES, 1)))
        self.everything = to_device(np.indices((2,) * SIDE**2).reshape(SIDE**2, -1).T.astype(float))
        self.seed, self.updates = seed, 0
        first, *streams = generator(seed).spawn(3)
        W = 0.1 * first.standard_normal((SIDE**2, N_HIDDEN))
        self.rbms = [RBM.from_parameters(W.copy(), np.zeros(SIDE**2), np.zeros(N_HIDDEN)) for _ in streams]
        self.estimates = [
            ContrastiveDivergence(rbm, Noise(stream), n_chains=n_chains)
            for rbm, stream, n_chains in zip(self.rbms, streams, (0, len(self.batch)))
        ]
        self.optimizers = [SGD(learning_rate) for _ in streams]
        self.set(k, learning_rate)
        self.train(0)

    @staticmethod
    def number(images):
        """Number (n,) of each image (n, 16) in the list of all images."""
        return (images @ 2 ** np.arange(images.shape[1])[::-1]).astype(int)

    def set(self, k, learning_rate):
        """From the next update on take k Gibbs steps, and steps of this size."""
        self.k = k
        for estimate, optimizer in zip(self.estimates, self.optimizers):
            estimate.k, optimizer.learning_rate = k, learning_rate

    def train(self, updates):
        """Make so many updates of both machines."""
        with one_thread():
            try:
                for _ in range(updates):
                    for rbm, estimate, optimizer in zip(self.rbms, self.estimates, self.optimizers):
                        estimate(self.batch)
                        optimizer.update(list(rbm.parameters_.values()), estimate.gradients)
                    self.updates += 1
            finally:  # after an interrupt, too
                self.log_z = [exact_log_partition(rbm) for rbm in self.rbms]

    def measure(self):
        """Return mean log-likelihoods in nats, of CD and PCD, and squared errors of reconstruction per image."""
        with one_thread():
            means = [log_likelihood(rbm, self.data, z).mean for rbm, z in zip(self.rbms, self.log_z)]
            errors = [float(((rbm.reconstruct(self.data) - self.data) ** 2).sum(axis=1).mean()) for rbm in self.rbms]
        return means, errors

    def probabilities(self):
        """Return the probabilities (2, 65536) of all images under CD's machine and under PCD's."""
        with one_thread():
            pairs = zip(self.rbms, self.log_z)
            return np.stack([np.exp(-to_numpy(rbm.free_energy(self.everything)) - z.log_z) for rbm, z in pairs])

    def particles(self):
        """Return visible states (300, 16) as in the negative phases of CD and of PCD.

        They are drawn afresh, for looking at: CD's chains take their k steps from the data, PCD's are where its hidden
        states lead. Training has random numbers of its own, and does not notice.
        """
        noise = Noise([self.seed, self.updates])
        cd, pcd = self.rbms
        fresh, _, _ = next(islice(cd.chains(self.batch, noise), self.k - 1, None))
        _, kept = pcd.sample_v_given_h(self.estimates[1].state["chains"], noise)
        return to_numpy(fresh), to_numpy(kept)
