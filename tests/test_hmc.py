"""Hamiltonian Monte Carlo: the integrator's three properties, exact stationarity, step sizes, and annealing."""

from itertools import islice

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from companion.backend import Noise, to_device, to_numpy, xp
from companion.diagnostics import effective_sample_size
from companion.hmc import HMC, DualAveraging, Metropolis, Normal, hamiltonian_ais, leapfrog
from companion.landscapes import Banana, Funnel, Hills, Ridge, Valley
from companion.likelihood import exact_log_partition
from companion.rbm import RBM

LEVEL = 1e-3  # of every test of a distribution: with the seeds given, a verdict that repeats


class Machine:
    """The free energy of a Gaussian–binary RBM of 3 + 2 units."""

    def __init__(self):
        rng = np.random.default_rng(2)
        self.rbm = RBM.from_parameters(1.3 * rng.standard_normal((3, 2)), rng.standard_normal(3),
                                       0.5 * rng.standard_normal(2), visible="gaussian")  # fmt: skip
        self.energy, self.gradient = self.rbm.free_energy, self.rbm.free_energy_gradient

    def draw(self, n, rng):
        """Hidden states with their probabilities, which a sum over four states gives; visible units given them."""
        W, b, c = (to_numpy(array) for array in self.rbm.parameters_.values())
        h = np.arange(4)[:, None] >> np.arange(2) & 1
        log_p = h @ c + (((h @ W.T + b) ** 2).sum(axis=1) - b @ b) / 2
        p = np.exp(log_p - log_p.max())
        return h[rng.choice(4, n, p=p / p.sum())] @ W.T + b + rng.standard_normal((n, 3))


def ridge():
    return Ridge(0.6)


def banana():
    return Banana(1.0, 0.5)


def hills():
    return Hills(3.0, 0.3)


TARGETS = pytest.mark.parametrize("make", [ridge, banana, hills, Machine])


def momenta(rng, x):
    return to_device(rng.standard_normal(x.shape))


def test_a_gradient_that_is_not_finite_where_the_chains_begin_is_refused():
    """They would stay there for ever."""
    with pytest.raises(ValueError, match="gradient, where the chains begin: expected finite numbers"):
        HMC(lambda x: (x**2).sum(axis=1), lambda x: x * np.nan, np.zeros((4, 2)), random_state=0)


# ------------------------------------------------------------------------------------------------------- the leapfrog


@pytest.mark.parametrize("make", [Valley, ridge, banana, hills, Funnel, Machine])
def test_gradients_are_those_of_the_energies(make, rng, central_differences):
    target = make()
    x = to_device(target.draw(4, rng))
    numeric = central_differences(lambda: target.energy(x).sum(), x)
    np.testing.assert_allclose(to_numpy(target.gradient(x)), numeric, atol=1e-7)


@pytest.mark.parametrize("make", [lambda: Valley(0.6, 0.3), ridge, banana, hills, lambda: Funnel(1.0)])
def test_exact_draws_are_those_of_the_energy(make, rng):
    """Counts in 12 by 12 cells by chi-square against exp(-energy), added up on a fine grid."""
    target, cells = make(), 12
    left, right, bottom, top = target.limits
    axes = [
        low + (high - low) * (np.arange(20 * cells) + 0.5) / (20 * cells)
        for low, high in ((left, right), (bottom, top))
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(-to_numpy(target.energy(to_device(grid)))).reshape(cells, 20, cells, 20).sum(axis=(1, 3))
    drawn = target.draw(20_000, rng)
    found, _, _ = np.histogram2d(*drawn.T, bins=cells, range=[target.limits[:2], target.limits[2:]])
    expected = mass / mass.sum() * found.sum()
    rare = expected < 5
    counts = [np.append(table[~rare], table[rare].sum()) for table in (found, expected)]
    assert found.sum() > 0.95 * len(drawn) and chisquare(*counts).pvalue > LEVEL


def test_the_free_energy_of_binary_units_has_a_gradient_too(rng, central_differences):
    rbm = RBM.from_parameters(rng.standard_normal((4, 3)), rng.standard_normal(4), rng.standard_normal(3))
    v = to_device(rng.random((2, 4)))
    numeric = central_differences(lambda: rbm.free_energy(v).sum(), v)
    np.testing.assert_allclose(to_numpy(rbm.free_energy_gradient(v)), numeric, atol=1e-7)


@TARGETS
def test_a_reversed_momentum_leads_back(make, rng):
    target, mass = make(), 0.7
    x = to_device(target.draw(20, rng))
    p = momenta(rng, x)
    there = leapfrog(x, p, target.gradient, 0.05, 40, mass=mass)
    back = leapfrog(there[0], -there[1], target.gradient, 0.05, 40, mass=mass)
    assert float(xp.abs(there[0] - x).max()) > 0.5
    np.testing.assert_allclose(to_numpy(back[0]), to_numpy(x), atol=1e-10)
    np.testing.assert_allclose(to_numpy(back[1]), -to_numpy(p), atol=1e-10)


@TARGETS
def test_volume_is_kept(make, rng):
    """The determinant of the map from (x, p) to (x', p'), by central differences, is one."""
    target = make()
    x = target.draw(1, rng)
    d, step = x.shape[1], 1e-5
    z = np.concatenate([x[0], rng.standard_normal(d)])
    moved = to_device(np.concatenate([z + step * np.eye(2 * d), z - step * np.eye(2 * d)]))
    x, p, _ = leapfrog(
        moved[:, :d].copy(), moved[:, d:].copy(), target.gradient, 0.2, 8, mass=to_device(np.arange(d) + 1.0)
    )
    ends = to_numpy(xp.concatenate([x, p], axis=1))
    jacobian = (ends[: 2 * d] - ends[2 * d :]) / (2 * step)
    assert np.abs(jacobian - np.eye(2 * d)).max() > 0.3
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-6)


@TARGETS
def test_the_error_of_energy_is_of_second_order(make, rng):
    """Half the step, a quarter of the error, over the same time."""
    target = make()
    x = to_device(target.draw(50, rng))
    p, errors = momenta(rng, x), []
    for step, n in ((0.02, 50), (0.01, 100)):
        ends = leapfrog(x, p, target.gradient, step, n)
        change = target.energy(ends[0]) - target.energy(x) + 0.5 * ((ends[1] ** 2).sum(axis=1) - (p**2).sum(axis=1))
        errors.append(float(xp.abs(change).mean()))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.1)


def test_the_inputs_stay_and_the_path_is_every_position(rng):
    target, path = banana(), []
    x = to_device(target.draw(3, rng))
    p, before = momenta(rng, x), to_numpy(x).copy()
    end, _, gradients = leapfrog(x, p, target.gradient, 0.1, 5, path=path)
    np.testing.assert_array_equal(to_numpy(x), before)
    np.testing.assert_array_equal(to_numpy(gradients), to_numpy(target.gradient(end)))
    assert len(path) == 6
    for n in range(1, 6):
        np.testing.assert_allclose(to_numpy(leapfrog(x, p, target.gradient, 0.1, n)[0]), to_numpy(path[n]), rtol=1e-12)


# -------------------------------------------------------------------------------------------------------- stationarity


def pvalue(found, exact):
    """The smallest p value of Kolmogorov–Smirnov tests of each variable, of their sum and difference, and the angle."""

    def views(x):
        return [*x.T, x[:, 0] + x[:, 1], x[:, 0] - x[:, 1], np.arctan2(x[:, 1], x[:, 0])]

    return min(kstest(a, b).pvalue for a, b in zip(views(found), views(exact)))


KERNELS = {
    "random walk": lambda target, x: Metropolis(target.energy, x, step_size=1.0, random_state=1),
    "Langevin": lambda target, x: HMC(target.energy, target.gradient, x, step_size=0.7, n_steps=1, random_state=1),
    "HMC": lambda target, x: HMC(target.energy, target.gradient, x, step_size=0.8, n_steps=4, random_state=1),
    "HMC, masses": lambda target, x: HMC(
        target.energy, target.gradient, x, step_size=0.6, n_steps=3, jitter=0.0, random_state=1,
        mass=np.linspace(0.7, 2, x.shape[1]),
    ),
}  # fmt: skip


@TARGETS
@pytest.mark.parametrize("kernel", KERNELS)
def test_exact_draws_stay_exact(make, kernel, rng):
    """Twelve transitions of 20,000 exact draws leave the distribution alone: immune to how long chains take to mix."""
    target = make()
    chains = KERNELS[kernel](target, target.draw(20_000, rng))
    start, acceptances = to_numpy(chains.x).copy(), []
    for _ in islice(chains, 12):
        acceptances.append(float(chains.acceptance.mean()))
    assert 0.15 < np.mean(acceptances) < 0.99 and np.abs(to_numpy(chains.x) - start).mean() > 0.3
    assert pvalue(to_numpy(chains.x), target.draw(20_000, rng)) > LEVEL


@pytest.mark.parametrize("kernel", ["random walk", "Langevin", "HMC"])
def test_without_the_correction_they_do_not(kernel, rng, monkeypatch):
    """The same test finds the error of a sampler that takes all: it can fail."""
    target = banana()
    chains = KERNELS[kernel](target, target.draw(20_000, rng))
    monkeypatch.setattr(chains.noise, "uniform", lambda out: xp.zeros_like(out))
    chains.jitter = 0.0
    next(islice(chains, 11, None))
    found = to_numpy(chains.x)
    assert pvalue(found[np.isfinite(found).all(axis=1)], target.draw(20_000, rng)) < 1e-12


def test_the_errors_of_energy_balance_in_equilibrium(rng):
    """The mean of exp(-change) is one, whatever the step."""
    target = hills()
    chains = HMC(target.energy, target.gradient, target.draw(40_000, rng), step_size=1.2, n_steps=3, random_state=0)
    terms = np.exp(-to_numpy(next(chains).change))
    assert np.abs(terms - 1).mean() > 0.1
    assert abs(terms.mean() - 1) < 4 * terms.std() / np.sqrt(len(terms))


def test_hmc_and_gibbs_agree_on_a_machine():
    """From noise, both come to the distribution of a Gaussian–binary RBM; hidden states by chi-square."""
    target = Machine()
    start = np.random.default_rng(1).standard_normal((5000, 3))
    chains = HMC(target.energy, target.gradient, start, step_size=0.5, n_steps=6, random_state=0)
    hmc = to_numpy(next(islice(chains, 59, None)).x)
    gibbs = to_numpy(target.rbm.sample(steps=150, start=start, random_state=2))
    exact = target.draw(200_000, np.random.default_rng(3))
    assert pvalue(hmc, gibbs) > LEVEL and pvalue(hmc, exact) > LEVEL

    def hidden(x, seed):
        h = to_numpy(target.rbm.sample_h_given_v(to_device(x), seed)[1])
        return np.bincount((h @ [1, 2]).astype(int), minlength=4)

    expected = hidden(exact, 4) / len(exact)
    assert chisquare(hidden(hmc, 5), len(hmc) * expected).pvalue > LEVEL


# ------------------------------------------------------------------------------------------------- step, mass, length


def test_dual_averaging_finds_a_known_step():
    """Where acceptance is exp(-step), .8 is reached at log 1.25, with a coin's noise on every one."""
    rng, tuning = np.random.default_rng(0), DualAveraging(3.0, 0.8)
    step = 3.0
    for _ in range(4000):
        step = tuning.update(float(rng.random() < np.exp(-step)))
    assert tuning.average == pytest.approx(np.log(1.25), rel=0.1)


def test_dual_averaging_is_that_of_its_source():
    """Hoffman and Gelman (2014), algorithm 5: mu = log 10 epsilon, gamma = .05, t0 = 10, kappa = .75."""
    tuning, H, log_average = DualAveraging(0.2, 0.8), 0.0, 0.0
    for t, acceptance in enumerate([0.9, 0.2, 1.0, 0.7], start=1):
        H = (1 - 1 / (t + 10)) * H + (0.8 - acceptance) / (t + 10)
        log_step = np.log(2.0) - np.sqrt(t) / 0.05 * H
        log_average = t**-0.75 * log_step + (1 - t**-0.75) * log_average
        assert tuning.update(acceptance) == pytest.approx(np.exp(log_step))
        assert tuning.average == pytest.approx(np.exp(log_average))


@pytest.mark.parametrize("acceptance", [0.65, 0.8, 0.9])
def test_the_step_is_adapted_to_the_acceptance_and_frozen(acceptance):
    target = ridge()
    chains = HMC(target.energy, target.gradient, xp.zeros((100, 2)), step_size=0.01, n_steps=5, random_state=0)
    frozen = chains.adapt(600, acceptance).step_size
    found = [float(chains.acceptance.mean()) for _ in islice(chains, 400)]
    assert chains.step_size == frozen
    assert np.mean(found) == pytest.approx(acceptance, abs=0.06)


def test_an_interrupt_leaves_states_energies_and_step_as_they_were(monkeypatch):
    target = ridge()
    chains = HMC(target.energy, target.gradient, xp.zeros((9, 2)), step_size=0.01, record=True, random_state=0)
    next(chains)
    kept = "x", "energies", "gradients", "change", "acceptance", "accepted", "proposal"
    before = {name: to_numpy(getattr(chains, name)).copy() for name in kept}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(chains.noise, "uniform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(chains)
    for name, array in before.items():
        np.testing.assert_array_equal(to_numpy(getattr(chains, name)), array)
    monkeypatch.undo()
    count, energy = iter(range(100)), chains.energy
    monkeypatch.setattr(chains, "energy", lambda x: energy(x) if next(count) < 20 else interrupted())
    with pytest.raises(KeyboardInterrupt):
        chains.adapt(100, 0.8)
    assert chains.step_size == 0.01


def test_a_mass_is_a_change_of_scale(rng):
    """With the inverse variances as masses, an elongated Gaussian is sampled as the round one, draw for draw."""
    scale = to_device(np.array([1.0, 10.0, 0.1]))
    common = {"step_size": 0.5, "n_steps": 5, "random_state": 3}
    x = to_device(rng.standard_normal((4, 3)))
    plain = HMC(lambda x: 0.5 * (x**2).sum(axis=1), lambda x: x.copy(), x, **common)
    scaled = HMC(lambda x: 0.5 * ((x / scale) ** 2).sum(axis=1), lambda x: x / scale**2, x * scale,
                 mass=1 / scale**2, **common)  # fmt: skip
    np.testing.assert_allclose(to_numpy(scaled.draw(20) / scale), to_numpy(plain.draw(20)), atol=1e-9)


def test_the_acceptance_falls_with_the_dimension_unless_the_step_does(rng):
    """Steps of d to the power -1/4 keep it: Beskos et al. (2013)."""

    def acceptance(d, n_steps):
        x = rng.standard_normal((400, d))
        chains = HMC(lambda x: 0.5 * (x**2).sum(axis=1), lambda x: x.copy(), x, step_size=2 / n_steps, n_steps=n_steps,
                     jitter=0.0, random_state=0)  # fmt: skip
        return np.mean([float(chains.acceptance.mean()) for _ in islice(chains, 5)])

    few = acceptance(64, 3)
    assert 0.6 < few < 0.9 and few - acceptance(1024, 3) > 0.3
    assert acceptance(1024, 6) == pytest.approx(few, abs=0.03)


@pytest.mark.parametrize("landscape", [Banana, Funnel, Hills, Ridge, Valley])
def test_a_landscape_is_the_same_at_whole_numbers(landscape):
    whole, place = to_device(np.array([[1, 1], [2, 0], [-1, 3]])), landscape()
    for function in (place.energy, place.gradient):
        np.testing.assert_array_equal(to_numpy(function(whole)), to_numpy(function(whole.astype(xp.float64))))


def test_a_step_that_could_not_be_tuned_is_as_it_was():
    chains = Metropolis(lambda x: 0 * x[:, 0], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="any is taken"):
        chains.adapt(3000, 0.234)
    assert chains.step_size == 0.1


def test_many_more_effective_samples_than_random_walks():
    d, n = 50, 400
    start = np.random.default_rng(0).standard_normal((4, d))
    common = {"random_state": 0}
    hmc = HMC(lambda x: 0.5 * (x**2).sum(axis=1), lambda x: x.copy(), start, step_size=0.4, n_steps=5, **common)
    walk = Metropolis(lambda x: 0.5 * (x**2).sum(axis=1), start, step_size=0.3, **common)
    # equal numbers of evaluations
    assert effective_sample_size(hmc.draw(n)[:, :, 0]) > 10 * effective_sample_size(walk.draw(hmc.cost * n)[:, :, 0])


# ------------------------------------------------------------------------------------------------------- as a program


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_seed_is_one_chain_in_the_precision_of_its_start(dtype):
    target = hills()

    def make(seed):
        return HMC(target.energy, target.gradient, np.zeros((3, 2), dtype), random_state=seed)

    first = make(4).draw(7)
    assert first.shape == (7, 3, 2) and first.dtype == dtype
    np.testing.assert_array_equal(to_numpy(first), to_numpy(make(4).draw(7)))
    assert (to_numpy(first) != to_numpy(make(5).draw(7))).any()


def test_what_is_kept_fits_together():
    target = banana()
    start = np.random.default_rng(0).standard_normal((30, 2))
    chains = HMC(target.energy, target.gradient, start, step_size=0.7, n_steps=4, record=True, random_state=0)
    for _ in range(5):
        before = to_numpy(chains.x).copy()
        next(chains)
        accepted = to_numpy(chains.accepted)
        assert 0 < accepted.sum() < 30
        expected = np.where(accepted[:, None], to_numpy(chains.proposal), before)
        np.testing.assert_array_equal(to_numpy(chains.x), expected)
        np.testing.assert_allclose(to_numpy(chains.energies), to_numpy(target.energy(chains.x)), rtol=1e-12)
        np.testing.assert_allclose(to_numpy(chains.gradients), to_numpy(target.gradient(chains.x)), rtol=1e-12)
        assert len(chains.path) == 5
        np.testing.assert_array_equal(to_numpy(chains.path[0]), before)
        np.testing.assert_array_equal(to_numpy(chains.path[-1]), to_numpy(chains.proposal))


def test_who_flies_off_is_rejected():
    """A step far too large overflows: no warning, no move, no nan."""
    start = np.ones((3, 2))
    chains = HMC(lambda x: (x**4).sum(axis=1), lambda x: 4 * x**3, start, step_size=5.0, n_steps=10, random_state=0)
    next(chains)
    np.testing.assert_array_equal(to_numpy(chains.x), start)
    assert not to_numpy(chains.accepted).any() and (to_numpy(chains.acceptance) == 0).all()


def square(x):
    return 0.5 * (x**2).sum(axis=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Metropolis(square, np.zeros(3)), r"x: expected an array of shape \(n_chains, d\).*\(3,\)"),
        (lambda: Metropolis(square, np.zeros((0, 3))), r"x: expected .*\(0, 3\)"),
        (lambda: Metropolis(square, np.zeros((2, 3)), step_size=0.0), "step_size: expected a positive number.*0.0"),
        (lambda: Metropolis(square, np.zeros((2, 3)), step_size=np.nan), "step_size: expected a positive number"),
        (lambda: Metropolis(square, np.zeros((2, 3)), step_size=np.ones(2)), "step_size: expected a positive number"),
        (
            lambda: Metropolis(lambda x: 0 * x[:, 0], np.zeros((2, 3))).adapt(3000, 0.234),
            "some refused, found that any is taken",
        ),
        (lambda: DualAveraging(0.1, 0.5).update(np.nan), "some refused, found that none is taken"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), jitter=np.ones(2)), "jitter: expected a number from 0"),
        (lambda: Metropolis(square, np.full((2, 3), np.inf)), "energy: expected finite numbers"),
        (lambda: Metropolis(lambda x: x, np.zeros((2, 3))), r"energy: expected .*\(2,\).*\(2, 3\)"),
        (lambda: Metropolis(lambda x: [0.0, 0.0], np.zeros((2, 3))), "energy: expected .* found list"),
        (lambda: Metropolis(square, np.zeros((2, 3))).adapt(-1, 0.5), "n: expected a whole number, at least 0"),
        (lambda: HMC(square, lambda x: x[:, :1], np.zeros((2, 3))), r"gradient: .*\(2, 3\).*\(2, 1\)"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), n_steps=0), "n_steps: expected a whole number"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), n_steps=2.0), "n_steps: expected a whole number"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), mass=[1.0, 2.0]), "mass: expected a positive number, or 3"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), mass=-1.0), "mass: expected a positive number"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), jitter=1.0), "jitter: expected a number from 0"),
        (lambda: Metropolis(square, np.zeros((2, 3))).adapt(5, 1.0), "acceptance: expected .* between 0 and 1"),
        (lambda: Metropolis(square, np.zeros((2, 3))).draw(0), "n: expected a whole number"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), mass=np.inf), "mass: expected a positive number"),
        (lambda: HMC(square, xp.copy, np.zeros((2, 3)), mass="3"), "mass: expected real numbers"),
        (lambda: Normal([0.0, 1.0], np.ma.masked_array([1.0, 1.0], True)), "scale: expected an array without a mask"),
        (lambda: Metropolis(square, np.full((2, 3), "1")), "x: expected real numbers, found <U1"),
        (lambda: Metropolis(square, np.ma.masked_array(np.zeros((2, 3)), True)), "x: expected an array without a mask"),
        (lambda: Normal([0.0, 1.0], [1.0, 0.0]), "expected d means and d positive scales"),
        (lambda: Normal([0.0, np.nan], [1.0, 1.0]), "mean: expected finite numbers"),
        (lambda: Normal([0.0, 1.0], [1.0, np.inf]), "scale: expected finite numbers"),
        (lambda: hamiltonian_ais(square, xp.copy, Normal([0.0], [1.0]), [0, 0.5]), "betas: expected a ladder"),
        (lambda: hamiltonian_ais(square, xp.copy, Normal([0.0], [1.0]), [0, 1], n_chains=0), "n_chains: expected"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------------------------------------------------ annealing


def test_the_exact_sum_of_a_gaussian_machine_is_its_integral(rng):
    """By a grid over two visible units; and more hidden units than visible ones are still the ones enumerated."""
    rbm = RBM.from_parameters(rng.standard_normal((2, 3)), rng.standard_normal(2), rng.standard_normal(3),
                              visible="gaussian")  # fmt: skip
    axis = np.linspace(-14, 14, 561)
    grid = to_device(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
    integral = float(xp.exp(-rbm.free_energy(grid)).sum()) * (axis[1] - axis[0]) ** 2
    assert exact_log_partition(rbm).log_z == pytest.approx(np.log(integral), abs=1e-9)
    wide = RBM.from_parameters(np.zeros((4, 26)), np.zeros(4), np.zeros(26), visible="gaussian")
    with pytest.raises(ValueError, match="hidden layer has 26 units"):
        exact_log_partition(wide)


def test_the_base_is_what_it_says():
    base = Normal([1.0, -2.0], [0.5, 3.0])
    drawn = to_numpy(base.sample(20_000, Noise.of(0)))
    assert kstest((drawn[:, 0] - 1) / 0.5, "norm").pvalue > LEVEL
    assert kstest((drawn[:, 1] + 2) / 3, "norm").pvalue > LEVEL
    assert base.log_z == pytest.approx(np.log(2 * np.pi * 1.5))
    whole = Normal([1, -2], [0.5, 3.0])  # whole numbers do not make the scales whole
    x = to_device(drawn)
    assert whole.log_z == base.log_z and to_numpy(whole.energy(x)) == pytest.approx(to_numpy(base.energy(x)))


def test_annealing_meets_the_exact_log_z_of_a_gaussian_machine(rng):
    rbm = RBM.from_parameters(rng.standard_normal((8, 6)), rng.standard_normal(8), rng.standard_normal(6),
                              visible="gaussian")  # fmt: skip
    exact, base = exact_log_partition(rbm).log_z, Normal(to_numpy(rbm.visible_bias_), np.full(8, 2.0))
    found = hamiltonian_ais(rbm.free_energy, rbm.free_energy_gradient, base, np.linspace(0, 1, 151), n_chains=300,
                            step_size=0.5, n_steps=4, random_state=0)  # fmt: skip
    assert found.ess > 20 and 0 < found.std_error < 0.15
    assert abs(found.log_z - exact) < 3 * found.std_error
    # the moves matter: without them the same ladder is plain importance sampling
    with pytest.warns(UserWarning, match="effective sample size"):
        lazy = hamiltonian_ais(rbm.free_energy, rbm.free_energy_gradient, base, [0, 0.999, 1], n_chains=300,
                               step_size=1e-9, n_steps=1, random_state=0)  # fmt: skip
    assert lazy.std_error > 2 * found.std_error


def test_annealing_between_equals_is_exact():
    base = Normal([0.5, 1.0], [1.0, 2.0])
    found = hamiltonian_ais(base.energy, base.gradient, base, [0, 0.3, 1], n_chains=30, random_state=0)
    assert found.log_z == pytest.approx(base.log_z, abs=1e-12) and found.std_error < 1e-12


def test_a_ladder_that_is_too_short_is_reported():
    base = Normal(np.zeros(20), np.full(20, 10.0))
    with pytest.warns(UserWarning, match="effective sample size"):
        hamiltonian_ais(square, xp.copy, base, [0, 1], random_state=0)


@pytest.mark.parametrize(
    ("energy", "gradient", "betas", "match"),
    [
        (lambda x: 0.5 * (x**2).sum(), lambda x: x, [0, 1], r"energy: expected .*\(100,\)"),
        (lambda x: 0.5 * (x**2).sum(axis=1), lambda x: x[0], [0, 1], "gradient: expected"),
        (lambda x: 0.5 * (x**2).sum(axis=1), lambda x: x, [0, np.nan, 1], "betas: expected a ladder"),
        (lambda x: 0.5 * (x**2).sum(axis=1), lambda x: x, 5, "betas: expected a sequence"),
    ],
)
def test_annealing_refuses_what_the_base_would_hide(energy, gradient, betas, match):
    """Numbers for all chains together fit those of the base, and the estimate would be anything."""
    base = Normal(np.zeros(2), np.full(2, 2.0))
    with pytest.raises(ValueError, match=match):
        hamiltonian_ais(energy, gradient, base, betas, random_state=0)


@pytest.mark.parametrize("n_steps", [0, -3, 1.5])
def test_a_trajectory_has_steps(n_steps):
    x = to_device(np.ones((2, 1)))
    with pytest.raises(ValueError, match="n_steps: expected a whole number, at least 1"):
        leapfrog(x, x, lambda x: x, 0.1, n_steps)


def test_functions_may_write_into_the_same_array_again():
    """The book's own layers do: chains that kept what came back would compare it with itself, and accept all."""
    x = np.random.default_rng(0).standard_normal((500, 2))
    energies, gradients = xp.empty(500), xp.empty((500, 2))

    def energy(x):
        energies[...] = 0.5 * (x**2).sum(axis=1)
        return energies

    def gradient(x):
        gradients[...] = x
        return gradients

    for kind, given in ((Metropolis, (energy,)), (HMC, (energy, gradient))):
        fresh = [lambda x, f=function: f(x).copy() for function in given]
        chains = [kind(*functions, x, step_size=1.5, random_state=0).draw(3) for functions in (given, fresh)]
        np.testing.assert_array_equal(*map(to_numpy, chains))


def test_what_a_base_is_made_of_is_its_own():
    mean, scale = np.zeros(1), np.ones(1)
    base = Normal(mean, scale)
    mean += 5
    scale *= 10
    assert float(base.energy(xp.ones((1, 1)))[0]) == 0.5 and base.log_z == pytest.approx(0.5 * np.log(2 * np.pi))


@pytest.mark.parametrize(
    "landscape", [Banana(), Funnel(), Hills(), Ridge(), Valley()], ids=lambda it: type(it).__name__
)
@pytest.mark.parametrize("type_", [np.int8, np.uint8, bool])
def test_landscapes_are_the_same_at_small_whole_numbers(landscape, type_):
    x = to_device(np.array([[100, 20], [1, 2]]).astype(type_))
    for function in (landscape.energy, landscape.gradient):
        np.testing.assert_allclose(to_numpy(function(x)), to_numpy(function(x.astype(xp.float64))), rtol=1e-6)


@pytest.mark.parametrize("step_size", [0, -1.0, np.nan, "1"])
def test_dual_averaging_begins_with_a_step(step_size):
    with pytest.raises(ValueError, match="step_size: expected a positive number"):
        DualAveraging(step_size, 0.8)


def test_annealing_begins_with_a_density():
    with pytest.raises(ValueError, match="base: expected a density to begin with, such as Normal, found 'base'"):
        hamiltonian_ais(lambda x: x[:, 0], lambda x: x, "base", [0, 1])
