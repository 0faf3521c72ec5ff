r"""Hamiltonian Monte Carlo: samples of any density whose energy has a gradient, many chains at once.

.. math:: p(x) = \frac{e^{-E(x)}}{Z}, \qquad H(x, p) = E(x) + \tfrac12 \sum_i p_i^2 / m_i

Rows are chains: positions x and momenta p are (n_chains, d). ``energy(x)`` returns (n_chains,) in nats,
``gradient(x)`` its derivatives (n_chains, d). Sources: Duane, Kennedy, Pendleton and Roweth (1987), *Hybrid Monte
Carlo*; Neal (2011), *MCMC using Hamiltonian dynamics*.
"""

from itertools import islice
from math import exp, log, pi, sqrt
from numbers import Real

import numpy as np

from .annealing import ladder
from .backend import Noise, to_device, to_numpy, xp
from .checks import check_count, check_finite, real_array
from .estimator import own_copy
from .likelihood import LogPartition, warn_unless_trusted

__all__ = ["HMC", "DualAveraging", "Metropolis", "Normal", "hamiltonian_ais", "leapfrog"]


def leapfrog(x, p, gradient, step_size, n_steps, *, mass=1.0, start=None, path=None):
    r"""Follow Hamilton's equations :math:`\dot x = p / m,\ \dot p = -\nabla E(x)` for n steps.

    Half a step of the momentum, then full steps of both in turn, and half a step of the momentum: reversible,
    volume-preserving, and with an energy error of second order in the step. Source: Neal (2011), section 2.3.

    Parameters
    ----------
    x, p : array (n_chains, d)
        Left as they are.
    gradient : callable
    step_size : float or array (n_chains, 1)
    n_steps : int
    mass : float or array (d,)
    start : array (n_chains, d), optional
        The gradient at x, where it is known.
    path : list, optional
        Takes a copy of every position on the way, x included.

    Returns
    -------
    x, p, gradient : array (n_chains, d)
        At the end.

    Raises
    ------
    ValueError
        If `n_steps` is not whole or below 1.
    """
    n_steps = check_count("n_steps", n_steps)
    x, p, g = x.copy(), p.copy(), gradient(x) if start is None else start
    kick, drift = step_size, step_size / mass  # of a full step: what force does to p, and p to x
    if path is not None:
        path.append(x.copy())
    p -= 0.5 * kick * g
    for step in range(1, n_steps + 1):
        x += drift * p
        g = gradient(x)
        p -= (kick if step < n_steps else 0.5 * kick) * g
        if path is not None:
            path.append(x.copy())
    return x, p, g


class Metropolis:
    r"""Random-walk Metropolis: chains that try a normal step, and take it or stay.

    A proposal x' is accepted with the probability :math:`\min(1, e^{E(x) - E(x')})`, which leaves
    :math:`e^{-E} / Z` as it is. An iterator without an end: every step is one transition of all chains. Source:
    Metropolis et al. (1953).

    Parameters
    ----------
    energy : callable
    x : array_like (n_chains, d)
        Where the chains begin; float32 stays float32, whole numbers become float64.
    step_size : float
        Standard deviation of the proposals, in each direction.
    random_state : None, int, numpy.random.Generator or companion.backend.Noise

    Attributes
    ----------
    x : array (n_chains, d)
        The present states: a new array after every transition.
    energies : array (n_chains,)
        Theirs.
    proposal, accepted : array (n_chains, d) and bool (n_chains,)
        What was proposed last, and whether it was taken.
    change, acceptance : array (n_chains,)
        Its energy error, for which :math:`e^{-\text{change}}` is 1 on average in equilibrium, and the probability with
        which it was accepted.
    step_size : float

    Raises
    ------
    ValueError
        If x is not (n_chains, d), if an energy is not a finite number for each chain, or a setting makes no sense.
    """

    cost = 1  # evaluations of energy or gradient in a transition of one chain

    def __init__(self, energy, x, *, step_size=0.1, random_state=None):
        self.energy, self.noise = energy, Noise.of(random_state)
        x = _floats("x", x)
        if x.ndim != 2 or not x.size:
            raise ValueError(f"x: expected an array of shape (n_chains, d), one row a chain, found {x.shape}")
        self.x = own_copy(x)
        if not (isinstance(step_size, Real) and 0 < step_size < np.inf):
            raise ValueError(f"step_size: expected a positive number, found {step_size!r}")
        self.step_size = step_size
        self.renew()

    def renew(self):
        """Evaluate the energies anew: to be called when states or energy were changed from outside."""
        self.energies = self.energy(self.x)
        if (found := getattr(self.energies, "shape", None)) != self.x.shape[:1]:
            raise ValueError(f"energy: expected an array of shape {self.x.shape[:1]}, one number for each chain, found "
                             f"{type(self.energies).__name__ if found is None else found}")  # fmt: skip
        if not bool(xp.isfinite(self.energies).all()):
            raise ValueError("energy: expected finite numbers where the chains begin, found NaN or infinity among them")
        self.energies = own_copy(self.energies)  # the function may write into the same array again

    def __iter__(self):
        return self

    def __next__(self):
        with np.errstate(over="ignore", invalid="ignore"):  # who flies off to infinity is rejected
            change, state = self._propose()
            odds = xp.exp(xp.minimum(-change, 0))
        acceptance = xp.where(xp.isnan(odds), xp.zeros_like(odds), odds)
        accepted = self.noise.uniform(xp.empty_like(odds)) < acceptance
        found = {"change": change, "acceptance": acceptance, "accepted": accepted, "proposal": state["x"]}
        for name, new in state.items():
            old = getattr(self, name)
            found[name] = xp.where(accepted.reshape(-1, *(1,) * (old.ndim - 1)), new, old)
        vars(self).update(found)  # all at once: a transition that is interrupted has not been made
        return self

    def _propose(self):
        """Return the error of energy of a proposal, and what its state would be."""
        x = self.noise.normal(xp.empty_like(self.x))
        x *= self.step_size
        x += self.x
        energies = self.energy(x)
        return energies - self.energies, {"x": x, "energies": energies}

    def adapt(self, n, acceptance):
        """Make n transitions in which the step is tuned by `DualAveraging` to this mean acceptance; then freeze it.

        These transitions are burn-in: while the step depends on the states, the chains have no fixed distribution.
        Good values are .234 for random walks, .574 for single leapfrog steps and .65 to .9 for trajectories.

        Raises
        ------
        ValueError
            If `acceptance` is not between 0 and 1, or if steps of every length are accepted, or of none: the step is
            then as it was, but the chains may be far away.
        """
        tuning, begun = DualAveraging(self.step_size, acceptance), self.step_size
        try:
            for _ in islice(self, check_count("n", n, least=0)):
                self.step_size = tuning.update(float(self.acceptance.mean()))
        except BaseException:  # an interrupt, too
            self.step_size = begun
            raise
        self.step_size = tuning.average
        return self

    def draw(self, n):
        """Make n transitions; return the states after each, an array (n, n_chains, d), on the device."""
        return xp.stack([chains.x for chains in islice(self, check_count("n", n))])


class HMC(Metropolis):
    r"""Hamiltonian Monte Carlo: a proposal is the end of a trajectory with a fresh momentum.

    Momenta are drawn from N(0, m); the end of `leapfrog` is accepted with the probability
    :math:`\min(1, e^{H(x, p) - H(x', p')})`. With one step it is Langevin Monte Carlo, corrected (MALA).

    Parameters
    ----------
    energy, gradient : callable
    x, random_state
        As in `Metropolis`.
    step_size : float
        Of the leapfrog integrator.
    n_steps : int
        Leapfrog steps in a trajectory.
    mass : float or array_like (d,)
        Best the inverse of the variance in each direction.
    jitter : float
        Each trajectory's step is multiplied by a number uniform in 1 ± jitter, so that no trajectory length keeps
        coming back to where it began; 0 for the plain algorithm.
    record : bool
        Whether `path` keeps the positions of the last trajectory.

    Attributes
    ----------
    gradients : array (n_chains, d)
        At the present states; further ones as in `Metropolis`.
    path : list of array (n_chains, d), or None
        The n_steps + 1 positions of the last trajectory.
    """

    def __init__(
        self, energy, gradient, x, *, step_size=0.1, n_steps=10, mass=1.0, jitter=0.2, record=False, random_state=None
    ):
        self.gradient, self.n_steps, self.record, self.path = gradient, check_count("n_steps", n_steps), record, None
        super().__init__(energy, x, step_size=step_size, random_state=random_state)
        self.mass = own_copy(to_device(real_array("mass", mass), self.x.dtype))
        if self.mass.shape not in ((), self.x.shape[1:]) or not bool(((self.mass > 0) & xp.isfinite(self.mass)).all()):
            raise ValueError(f"mass: expected a positive number, or {self.x.shape[1]} of them, found {mass!r}")
        if not (isinstance(jitter, Real) and 0 <= jitter < 1):
            raise ValueError(f"jitter: expected a number from 0 to below 1, found {jitter!r}")
        self.jitter = jitter

    @property
    def cost(self):
        """Gradients in a trajectory of one chain; the energy at its end comes on top."""
        return self.n_steps

    def renew(self):
        """Evaluate energies and gradients anew: to be called when states or energy were changed from outside."""
        super().renew()
        self.gradients = self.gradient(self.x)
        if (found := getattr(self.gradients, "shape", None)) != self.x.shape:
            raise ValueError(f"gradient: expected an array of shape {self.x.shape}, as the positions, found "
                             f"{type(self.gradients).__name__ if found is None else found}")  # fmt: skip
        check_finite("gradient, where the chains begin", self.gradients)
        self.gradients = own_copy(self.gradients)

    def _propose(self):
        p = self.noise.normal(xp.empty_like(self.x))
        p *= xp.sqrt(self.mass)
        step = self.step_size
        if self.jitter:
            step = self.noise.uniform(xp.empty_like(self.x[:, :1]))
            step *= 2 * self.jitter * self.step_size
            step += (1 - self.jitter) * self.step_size
        path = [] if self.record else None
        before = self.energies + self._kinetic(p)
        x, p, gradients = leapfrog(self.x, p, self.gradient, step, self.n_steps, mass=self.mass, start=self.gradients,
                                   path=path)  # fmt: skip
        energies, self.path = self.energy(x), path
        return energies + self._kinetic(p) - before, {"x": x, "energies": energies, "gradients": gradients}

    def _kinetic(self, p):
        return 0.5 * (p * p / self.mass).sum(axis=1)


class DualAveraging:
    r"""Find the step size with a given acceptance, by Nesterov's dual averaging of its logarithm.

    .. math:: \log \epsilon_{t+1} = \log(10\, \epsilon_1) - \frac{\sqrt t}{\gamma}\, \frac{1}{t + t_0} \sum_{s \le t}
        (\delta - \alpha_s), \qquad \gamma = .05,\ t_0 = 10

    A chain of single acceptances α would make the step tremble for ever; it is the average of the steps, weighted
    towards late ones, that converges. Source: Hoffman and Gelman (2014), *The No-U-Turn Sampler*, section 3.2.1.

    Parameters
    ----------
    step_size : float
        The first one.
    acceptance : float
        δ, the acceptance to reach, between 0 and 1.

    Attributes
    ----------
    average : float
        The step size to keep.
    """

    def __init__(self, step_size, acceptance):
        if not (isinstance(acceptance, Real) and 0 < acceptance < 1):
            raise ValueError(f"acceptance: expected a number between 0 and 1, found {acceptance!r}")
        if not (isinstance(step_size, Real) and 0 < step_size < np.inf):
            raise ValueError(f"step_size: expected a positive number, found {step_size!r}")
        self.centre, self.acceptance = log(10 * step_size), acceptance
        self.t, self.missing, self.average = 0, 0.0, step_size

    def update(self, acceptance):
        """Take in the acceptance of a transition, from 0 to 1, and return the step size for the next."""
        self.t += 1
        self.missing += (self.acceptance - acceptance - self.missing) / (self.t + 10)
        step = self.centre - sqrt(self.t) / 0.05 * self.missing
        if not abs(step) <= 100:  # the logarithm of the next step's length
            found = "any is taken" if step > 0 else "none is taken"
            raise ValueError(
                f"energy: expected one for which some steps are taken and some refused, found that {found}"
            )
        weight = self.t**-0.75
        self.average = exp(weight * step + (1 - weight) * log(self.average))
        return exp(step)


class Normal:
    """Independent normal variables: where annealing begins.

    Parameters
    ----------
    mean, scale : array_like (d,)
        Means and standard deviations.

    Attributes
    ----------
    log_z : float
        Log of the integral of exp(-energy), in nats.

    Raises
    ------
    ValueError
        If means and scales are not as many finite numbers, or a scale is not positive.
    """

    def __init__(self, mean, scale):
        self.mean = own_copy(_floats("mean", mean))
        self.scale = own_copy(to_device(real_array("scale", scale), self.mean.dtype))
        if self.mean.ndim != 1 or self.scale.shape != self.mean.shape or not bool((self.scale > 0).all()):
            raise ValueError(f"expected d means and d positive scales, found arrays of the shapes {self.mean.shape} "
                             f"and {self.scale.shape}")  # fmt: skip
        check_finite("mean", self.mean)
        check_finite("scale", self.scale)
        self.log_z = float(xp.log(self.scale.astype(xp.float64)).sum()) + 0.5 * len(self.mean) * log(2 * pi)

    def sample(self, n, noise):
        """Draw n states (n, d); `noise` is a seed, a NumPy generator or a `companion.backend.Noise`."""
        return self.mean + self.scale * Noise.of(noise).normal(xp.empty((n, len(self.mean)), self.mean.dtype))

    def energy(self, x):
        """Energies (n,) of the rows of x (n, d)."""
        return 0.5 * (((x - self.mean) / self.scale) ** 2).sum(axis=1)

    def gradient(self, x):
        """Gradients (n, d) of the energies."""
        return (x - self.mean) / self.scale**2


class _Between:
    """The energy between a base and a target: (1 - beta) times the one and beta times the other."""

    def __init__(self, base, energy, gradient):
        self.base, self.target, self.target_gradient, self.beta = base, energy, gradient, 0.0

    def energy(self, x):
        return (1 - self.beta) * self.base.energy(x) + self.beta * self.target(x)

    def gradient(self, x):
        return (1 - self.beta) * self.base.gradient(x) + self.beta * self.target_gradient(x)


def hamiltonian_ais(energy, gradient, base, betas, *, n_chains=100, step_size=0.1, n_steps=10, random_state=None):
    r"""Estimate the log of :math:`Z = \int e^{-E(x)} dx` by annealed importance sampling with HMC as its moves.

    What `companion.annealing.ais` does for binary units, for any energy with a gradient: chains start at `base`, whose
    log Z is known, and make one HMC transition at each inverse temperature. The step size is given and not adapted:
    moves that depend on the past of the chains would bias the estimate. Sources: Neal (2001), *Annealed importance
    sampling*; Sohl-Dickstein and Culpepper (2012), *Hamiltonian annealed importance sampling*.

    Parameters
    ----------
    energy, gradient : callable
    base : Normal
        Wide enough to cover the target.
    betas : array_like (n_temperatures + 1,)
        Inverse temperatures, rising from 0 to 1.
    n_chains : int
    step_size, n_steps
        As in `HMC`.
    random_state : None, int or generator

    Returns
    -------
    companion.likelihood.LogPartition

    Raises
    ------
    ValueError
        If the ladder does not rise from 0 to 1, a number is not whole or below 1, or energies or gradients are not
        those of all chains.

    Warns
    -----
    UserWarning
        If the effective sample size is too low to trust the standard error.
    """
    betas, noise = ladder(betas), Noise.of(random_state)
    if betas[:1] != [0] or betas[-1:] != [1] or not (np.diff(betas) >= 0).all():
        raise ValueError(f"betas: expected a ladder that rises from 0 to 1, found {betas[:1]} … {betas[-1:]}")
    if not all(hasattr(base, name) for name in ("sample", "energy", "gradient", "log_z")):
        raise ValueError(f"base: expected a density to begin with, such as Normal, found {base!r}")
    path = _Between(base, energy, gradient)
    start = base.sample(check_count("n_chains", n_chains), noise)
    HMC(energy, gradient, start, step_size=step_size, n_steps=n_steps)  # mixed with those of the base, wrong shapes fit
    chains = HMC(path.energy, path.gradient, start, step_size=step_size, n_steps=n_steps, random_state=noise)
    log_weights = np.zeros(n_chains)
    for beta in betas[1:]:
        change = base.energy(chains.x) - energy(chains.x)
        log_weights += (beta - path.beta) * to_numpy(change).astype(np.float64)
        path.beta = beta
        chains.renew()
        next(chains)
    return warn_unless_trusted(LogPartition.of_weights(log_weights, base.log_z, chains.x))


def _floats(name, array):
    """Return `array` on the device: float32 as it is, other real numbers as float64."""
    array = real_array(name, array)
    return to_device(array, xp.float32 if array.dtype == np.float32 else xp.float64)
