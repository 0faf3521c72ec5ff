"""The restricted Boltzmann machine: energies, samplers and gradients against enumeration, and what it learns."""

import itertools
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from helpers import arrays, assert_same, states
from scipy.special import expit, logsumexp
from scipy.stats import binom
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from companion import rbm as rbm_module
from companion import training
from companion.backend import Noise, generator, to_device, to_numpy, xp
from companion.data import bars_and_stripes
from companion.likelihood import exact_log_partition
from companion.optimize import SGD
from companion.rbm import RBM, ContrastiveDivergence, log_odds
from companion.storage import load_model, save_model


@pytest.fixture(autouse=True)
def single_thread():
    """Products of thin matrices are faster on one thread, most of all on a busy machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


# ------------------------------------------------------------------------- small machines, and their enumeration

N = 30_000  # chains


def machine(rng, n_visible=5, n_hidden=4, scale=1.2, dtype=np.float64, **settings):
    """A machine with strong random weights, and biases that keep all of its units busy."""
    W, b, c = (scale * rng.normal(size=size) for size in ((n_visible, n_hidden), n_visible, n_hidden))
    arrays = W, 0.5 * b - W.sum(axis=1) / 2, 0.5 * c - W.sum(axis=0) / 2
    return RBM.from_parameters(*(array.astype(dtype) for array in arrays), **settings)


def parameters(rbm):
    """W, b and c, in NumPy."""
    return [to_numpy(array).copy() for array in rbm.parameters_.values()]


def index(*layers):
    """Row numbers in `states` of states (..., n), or of pairs of states."""
    bits = np.concatenate([to_numpy(layer) for layer in layers], axis=-1)
    return (bits @ 2.0 ** np.arange(bits.shape[-1])[::-1]).astype(int)


def exact_probabilities(rbm, inverse_temperature=1.0):
    """p(v, h) of all states, (2 ** n_visible, 2 ** n_hidden), straight from the energy."""
    W, b, c = parameters(rbm)
    v, h = states(len(b)), states(len(c))
    log_p = inverse_temperature * ((v @ b)[:, None] + h @ c + v @ W @ h.T)
    return np.exp(log_p - logsumexp(log_p))


def draw(p, n, rng):
    """Draw n of the states that have the probabilities p, an array for each layer; return the states on the device."""
    chosen = np.unravel_index(rng.choice(p.size, n, p=p.ravel()), p.shape)
    return [to_device(states(size.bit_length() - 1)[i]) for i, size in zip(chosen, p.shape)]


def distance(found, p):
    """Total variation distance between the states with the numbers `found` and the distribution p."""
    return abs(np.bincount(found, minlength=p.size) / len(found) - p.ravel()).sum() / 2


def floor(p, n):
    """What the distance of n independent draws from p itself exceeds less than once in a hundred thousand cases.

    Its mean is half the sum of the mean absolute deviations of the frequencies, which are binomial (de Moivre's
    formula); how far it gets above the mean is bounded by McDiarmid's inequality.
    """
    p = p.ravel()
    m = np.floor(n * p) + 1
    return (m * (1 - p) * binom.pmf(m, n, p)).sum() / n + np.sqrt(np.log(1e5) / (2 * n))


def assert_distributed(found, p):
    assert distance(found, p) < floor(p, len(found))


def bits(n, n_visible, rng):
    """Random binary rows, all different sums."""
    return (rng.random((n, n_visible)) < rng.random(n_visible)).astype(float)


def test_the_distance_of_wrong_distributions_is_above_the_floor(rng):
    """The tests below can fail: 10 % off in the temperature, or one weight of twenty gone, is found out."""
    rbm = machine(rng)
    p = exact_probabilities(rbm)
    found = index(*draw(p, N, rng))
    for beta in (0.9, 1.1):
        assert distance(found, exact_probabilities(rbm, beta)) > 1.1 * floor(p, N)
    W, b, c = parameters(rbm)
    W[np.unravel_index(abs(W).argmax(), W.shape)] = 0
    assert distance(found, exact_probabilities(RBM.from_parameters(W, b, c))) > 2 * floor(p, N)
    assert_distributed(found, p)


# -------------------------------------------------------------------------------------------- energy, free energy


def test_energy_by_hand():
    binary = RBM.from_parameters([[1.0, -2.0], [0.5, 3.0]], [0.25, -1.0], [2.0, -0.5])
    gaussian = RBM.from_parameters(*parameters(binary), visible="gaussian")
    v, h = [[1, 0], [1, 1]], [[0, 1], [1, 1]]
    # b·v is 0.25 and −0.75, c·h −0.5 and 1.5, v·W·h −2 and 2.5
    np.testing.assert_allclose(to_numpy(binary.energy(v, h)), [2.25, -3.25])
    # ‖v − b‖² / 2 is (0.5625 + 1) / 2 and (0.5625 + 4) / 2
    np.testing.assert_allclose(to_numpy(gaussian.energy(v, h)), [0.78125 + 2.5, 2.28125 - 4.0])


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_the_free_energy_is_that_of_all_hidden_states(rng, visible, beta):
    rbm = machine(rng, visible=visible)
    v = states(5) if visible == "binary" else rng.normal(size=(20, 5))
    h = states(4)
    energies = np.array([to_numpy(rbm.energy(np.tile(row, (len(h), 1)), h)) for row in v])
    expected = -logsumexp(-beta * energies, axis=1)
    np.testing.assert_allclose(to_numpy(rbm.free_energy(v, beta)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_conditional_means_are_those_of_the_joint_distribution(rng, beta):
    rbm = machine(rng)
    p = exact_probabilities(rbm, beta)
    up, down = p @ states(4) / p.sum(axis=1, keepdims=True), p.T @ states(5) / p.sum(axis=0)[:, None]
    np.testing.assert_allclose(to_numpy(rbm.propup(states(5), beta)), up, rtol=1e-10)
    np.testing.assert_allclose(to_numpy(rbm.propdown(states(4), beta)), down, rtol=1e-10)


def test_a_reconstruction_goes_up_and_down_by_means(rng):
    rbm = machine(rng)
    W, b, c = parameters(rbm)
    v = rng.random((7, 5))
    np.testing.assert_allclose(to_numpy(rbm.reconstruct(v)), expit(expit(v @ W + c) @ W.T + b), rtol=1e-12)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_a_centred_machine_is_a_machine_with_other_biases(rng, visible):
    """Its energies, −b·(v − μ) − c·(h − λ) − (v − μ)·W·(h − λ), are those of the machine up to a constant."""
    plain = machine(rng)
    W, b, c = parameters(plain)
    mu, lam = rng.random(5), rng.random(4)
    rbm = RBM.from_parameters(W, b, c, visible_offset=mu, hidden_offset=lam, visible=visible)
    v, h = (layer.reshape(-1, layer.shape[-1]) for layer in (np.repeat(states(5), 16, 0), np.tile(states(4), (32, 1))))
    visible_part = -(v - mu) @ b if visible == "binary" else ((v - b) ** 2).sum(axis=1) / 2
    centred = visible_part - (h - lam) @ c - np.einsum("ni,ij,nj->n", v - mu, W, h - lam)
    assert np.ptp(to_numpy(rbm.energy(v, h)) - centred) < 1e-12
    assert np.ptp(to_numpy(RBM.from_parameters(W, b, c, visible=visible).energy(v, h)) - centred) > 1


def test_parameters_keep_float64_and_else_become_float32(rng):
    W, b, c = parameters(machine(rng))
    for given, expected in [(np.float64, np.float64), (np.float32, np.float32), (np.float16, np.float32)]:
        rbm = RBM.from_parameters(W.astype(given), b, c)
        assert {array.dtype for array in rbm.parameters_.values()} == {np.dtype(expected)}
        for found in (rbm.propup(states(5)), rbm.free_energy(states(5)), rbm.sample(3, 2, random_state=0)):
            assert found.dtype == expected
    assert (rbm.n_hidden, rbm.n_features_in_) == (4, 5)
    assert rbm.W_ is rbm.parameters_["W"] and rbm.hidden_bias_ is rbm.parameters_["hidden_bias"]


def test_parameters_that_do_not_fit_are_refused():
    for shapes in [((3, 2), 2, 3), ((3, 2), 3, 3), (3, 3, 3), ((3, 2), (3, 1), 2)]:
        with pytest.raises(ValueError, match=r"expected W \(n_visible, n_hidden\).*found \(3"):
            RBM.from_parameters(*map(np.zeros, shapes))
    for wrong in ({"hidden_offset": np.ones((2, 1))}, {"visible_offset": np.ones((1, 3))}, {"hidden_offset": 0.5}):
        with pytest.raises(ValueError, match=f"{min(wrong)}: expected shape"):
            RBM.from_parameters(np.zeros((3, 2)), np.zeros(3), np.zeros(2), **wrong)
    for i, name in enumerate(("W", "visible_bias", "hidden_bias")):
        given = [np.zeros((3, 2)), np.zeros(3), np.zeros(2)]
        given[i][-1] = np.nan if i else np.inf
        with pytest.raises(ValueError, match=f"^{name}: expected finite numbers"):
            RBM.from_parameters(*given)
        given[i] = np.ma.masked_array(np.zeros(given[i].shape), True)
        with pytest.raises(ValueError, match=f"^{name}: expected an array without a mask"):
            RBM.from_parameters(*given)
    for offset, says in (
        ([np.nan, 0], "hidden_offset: expected finite"),
        (["1", "2"], "hidden_offset: expected real numbers"),
    ):
        with pytest.raises(ValueError, match=says):
            RBM.from_parameters(np.zeros((3, 2)), np.zeros(3), np.zeros(2), hidden_offset=offset)


def test_states_with_a_mask_are_refused(rng):
    rbm, v = machine(rng), np.ma.masked_array(np.ones((2, 5)), True)
    for ask in (
        rbm.free_energy,
        rbm.propup,
        rbm.reconstruct,
        lambda v: rbm.sample(start=v),
        lambda v: rbm.chains(v, 0),
    ):
        with pytest.raises(ValueError, match="expected an array without a mask"):
            ask(v)


def test_without_parameters_there_is_nothing_to_look_at():
    with pytest.raises(AttributeError, match="no W yet: call fit, or use RBM.from_parameters"):
        RBM().W_  # noqa: B018
    with pytest.raises(AttributeError, match="no hidden_bias yet"):
        RBM().hidden_bias_  # noqa: B018


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_weights_and_inputs_give_finite_numbers(rng, visible, dtype):
    rbm = machine(rng, 6, 5, scale=1e3, dtype=dtype, visible=visible)
    for v in (1e3 * rng.normal(size=(8, 6)), bits(8, 6, rng)):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            found = [rbm.propup(v), rbm.free_energy(v), rbm.free_energy(v, 2.0), rbm.reconstruct(v), rbm.sample(4, 5)]
            if visible == "binary" and 0 <= v.min() and v.max() <= 1:
                found.append(rbm.pseudo_log_likelihood(v))
        assert all(np.isfinite(to_numpy(array)).all() for array in found)


# --------------------------------------------------------------------------------------------- samplers: no drift


def by_vhv(rbm, v, h, beta, steps, noise):
    for _ in range(steps):
        h, means, v = rbm.gibbs_vhv(v, noise, beta)
    return v, h, means, v


def by_halves(rbm, v, h, beta, steps, noise):
    for _ in range(steps):
        _, h = rbm.sample_h_given_v(v, noise, beta)
        means, v = rbm.sample_v_given_h(h, noise, beta)
    return v, h, means, v


def by_chains(rbm, v, h, beta, steps, noise):
    *_, (v, means, h) = itertools.islice(rbm.chains(v, noise, inverse_temperature=beta), steps)
    return v, h, means, v


@pytest.mark.parametrize("sampler", [by_vhv, by_halves, by_chains])
@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_a_sampler_leaves_the_distribution_as_it_is(rng, sampler, beta):
    """Chains that start exactly there stay there; v and h together are distributed as the machine says."""
    rbm = machine(rng)
    p = exact_probabilities(rbm, beta)
    start = v, h = draw(p, N, rng)
    noise = Noise(generator(1))
    for steps in (1, 4, 16):
        v, h, means, drawn = sampler(rbm, *start, beta, steps, noise)
        assert_distributed(index(v, h), p)
        expected = p.sum(axis=1) @ states(5)
        np.testing.assert_allclose(to_numpy(means).mean(axis=0), expected, atol=5 * 0.5 / np.sqrt(N))
        assert (to_numpy(v) != to_numpy(start[0])).any(axis=1).mean() > 0.2  # they do move


def test_wherever_they_start_samples_end_as_the_machine_says(rng):
    rbm = machine(rng)
    p = exact_probabilities(rbm).sum(axis=1)
    assert_distributed(index(rbm.sample(N, 60, random_state=0)), p)
    found = index(rbm.sample(start=np.ones((N, 5)), steps=60, random_state=0))
    assert_distributed(found, p)
    assert distance(index(rbm.sample(start=np.ones((N, 5)), steps=1, random_state=0)), p) > 2 * floor(p, N)
    hot = index(rbm.sample(N, 60, inverse_temperature=0.5, random_state=0))
    assert_distributed(hot, exact_probabilities(rbm, 0.5).sum(axis=1))


@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_clamped_units_leave_the_others_their_conditional_distribution(rng, beta):
    """Half of the chains hold two units, the other half one; each starts exactly at what is left to it."""
    rbm = machine(rng)
    p, rows = exact_probabilities(rbm, beta).sum(axis=1), states(5)
    first = np.where((rows[:, 0] == 1) & (rows[:, 3] == 0), p, 0)
    second = np.where(rows[:, 4] == 1, p, 0)
    first, second = first / first.sum(), second / second.sum()
    start = np.concatenate([to_numpy(draw(q, N, rng)[0]) for q in (first, second)])
    clamp = np.repeat([[True, False, False, True, False], [False] * 4 + [True]], N, axis=0)
    chains = rbm.chains(start, 3, clamp, beta)
    for step, (v, means, _) in enumerate(itertools.islice(chains, 16), start=1):
        if step in (1, 4, 16):
            v, means = to_numpy(v), to_numpy(means)
            assert_distributed(index(v[:N]), first)
            assert_distributed(index(v[N:]), second)
            for found in (v, means):
                np.testing.assert_array_equal(found[clamp], start[clamp])
            np.testing.assert_allclose(means[:N].mean(axis=0), first @ rows, atol=5 * 0.5 / np.sqrt(N))
    assert distance(index(v[:N]), p) > 2 * floor(p, N)


@pytest.mark.parametrize("clamp", [[1, 0, np.nan, np.nan, 0], ["True", "", "", "", ""], [0, 2, 3, 1, 4]])
def test_a_clamp_says_which_units_stay_and_nothing_else(clamp):
    """Values, as `RNNRBM.write` wants them, words and numbers of units would hold others."""
    with pytest.raises(ValueError, match="clamp: expected"):
        machine(np.random.default_rng(0)).sample(start=np.zeros((1, 5)), steps=1, clamp=clamp)


def test_sample_clamps_for_each_row_or_for_all(rng):
    rbm, start = machine(rng), rng.random((6, 5))  # grey levels too are kept
    for clamp in ([True, False, True, False, False], rng.random((6, 5)) < 0.5, np.ones(5, bool)):
        for means in (False, True):
            v = to_numpy(rbm.sample(start=start, steps=7, clamp=clamp, means=means, random_state=0))
            held = np.broadcast_to(clamp, v.shape)
            np.testing.assert_array_equal(v[held], start[held])
            assert (v[~held] != start[~held]).all()
    one = rbm.sample(start=start[0], steps=3, clamp=[True] + [False] * 4, random_state=0)
    assert one.shape == (1, 5) and float(one[0, 0]) == start[0, 0]


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_sample_counts_its_steps(rng, visible):
    rbm, start = machine(rng, visible=visible), rng.random((6, 5))
    np.testing.assert_array_equal(to_numpy(rbm.sample(start=start, steps=0)), start)
    np.testing.assert_array_equal(to_numpy(rbm.sample(start=start, steps=0, means=True)), start)
    for steps in (1, 3):
        *_, (v, means, _) = itertools.islice(rbm.chains(start, 8), steps)
        for expected, asked in ((v, False), (means, True)):
            found = rbm.sample(start=start, steps=steps, means=asked, random_state=8)
            np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))
    for wrong in (np.ma.masked_array(start, start > 0.5), start.astype(str)):
        with pytest.raises(ValueError, match="start: expected"):
            rbm.sample(start=wrong)
    assert rbm.sample(start=pd.Series(start[0], index=list("edcba")), steps=0).shape == (1, 5)
    coins = to_numpy(rbm.sample(2000, 0, random_state=0))
    mean, sd = (0.5, 0.5) if visible == "binary" else (0, 1)
    assert coins.shape == (2000, 5)
    assert visible == "gaussian" or set(np.unique(coins)) == {0, 1}
    np.testing.assert_allclose(coins.mean(axis=0), mean, atol=5 * sd / np.sqrt(2000))
    np.testing.assert_allclose(coins.std(axis=0), sd, rtol=0.1)


def test_a_seed_gives_the_same_samples_again(rng):
    rbm = machine(rng)

    def sample(seed):
        return to_numpy(rbm.sample(50, 10, random_state=seed))

    np.testing.assert_array_equal(sample(3), sample(3))
    np.testing.assert_array_equal(sample(3), sample(np.random.default_rng(3)))
    assert (sample(3) != sample(4)).any() and (sample(None) != sample(None)).any()
    used = np.random.default_rng(3)
    assert (sample(used) != sample(used)).any()
    v = bits(30, 5, rng)
    for seed in (3, np.random.default_rng(3), Noise(generator(3))):
        for found, expected in zip(rbm.gibbs_vhv(v, seed), rbm.gibbs_vhv(v, 3)):
            np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


# ------------------------------------------------------------------------------------- Gaussian visible units


def mixture(rbm, beta=1.0):
    """The weights (2 ** n_hidden,) and centres (2 ** n_hidden, n_visible) of the Gaussians that p(v) is made of."""
    W, b, c = parameters(rbm)
    h = states(len(c))
    centres = b + h @ W.T
    log_w = beta * (h @ c + (centres**2 - b**2).sum(axis=1) / 2)
    return np.exp(log_w - logsumexp(log_w)), centres


@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_gaussian_units_have_a_density_that_integrates_to_that_of_the_mixture(rng, beta):
    """One visible unit on a fine grid."""
    rbm = machine(rng, 1, 4, visible="gaussian")
    v = np.linspace(-15, 15, 6001)
    density = np.exp(-to_numpy(rbm.free_energy(v[:, None], beta)))
    weights, centres = mixture(rbm, beta)
    expected = np.sqrt(beta / (2 * np.pi)) * np.exp(-beta * (v[:, None] - centres.T) ** 2 / 2) @ weights
    np.testing.assert_allclose(density / (density.sum() * (v[1] - v[0])), expected, atol=1e-10)


@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_gaussian_units_are_drawn_with_their_mean_and_variance(rng, beta):
    rbm = machine(rng, 3, 4, visible="gaussian")
    W, b, _ = parameters(rbm)
    h = np.array([1.0, 0.0, 1.0, 1.0])
    means, v = map(to_numpy, rbm.sample_v_given_h(np.tile(h, (N, 1)), 0, beta))
    np.testing.assert_allclose(means, np.tile(b + W @ h, (N, 1)), rtol=1e-12)
    deviations = (v - means) * np.sqrt(beta)
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        np.testing.assert_allclose((deviations**power).mean(axis=0), moment, atol=5 * np.sqrt(variance / N))
    np.testing.assert_allclose(np.corrcoef(deviations.T), np.eye(3), atol=5 / np.sqrt(N))


@pytest.mark.parametrize("sampler", [by_vhv, by_chains])
@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
def test_a_sampler_leaves_the_mixture_of_gaussians_as_it_is(rng, sampler, beta):
    rbm = machine(rng, 3, 4, scale=1.0, visible="gaussian")
    weights, centres = mixture(rbm, beta)
    (h,) = draw(weights, N, rng)
    v = to_device(centres[index(h)] + rng.normal(size=(N, 3)) / np.sqrt(beta))
    mean = weights @ centres
    covariance = (centres - mean).T * weights @ (centres - mean) + np.eye(3) / beta
    variances = np.diag(covariance)
    noise = Noise(generator(1))
    for steps in (1, 4, 16):
        found, hidden, _, _ = sampler(rbm, v, h, beta, steps, noise)
        found = to_numpy(found)
        assert_distributed(index(hidden), weights)
        assert (abs(found.mean(axis=0) - mean) < 5 * np.sqrt(variances / N)).all()
        error = np.sqrt((np.outer(variances, variances) + covariance**2) / N)
        assert (abs(np.cov(found.T) - covariance) < 6 * error).all()


def test_clamped_gaussian_units_leave_the_others_their_conditional_distribution(rng):
    """With v₁ held at x: the mixture with its weights changed by the densities of v₁ at x, a Gaussian less wide."""
    rbm = machine(rng, 3, 4, scale=1.0, visible="gaussian")
    weights, centres = mixture(rbm)
    weights = weights * np.exp(-((centres[:, 0] - 0.7) ** 2) / 2)
    weights /= weights.sum()
    v = to_numpy(rbm.sample(start=np.tile([0.7, 0.0, 0.0], (N, 1)), steps=60, clamp=[True, False, False]))
    mean = weights @ centres[:, 1:]
    assert (v[:, 0] == 0.7).all()
    np.testing.assert_allclose(v[:, 1:].mean(axis=0), mean, atol=5 * v[:, 1:].std(axis=0).max() / np.sqrt(N))
    variances = weights @ (centres[:, 1:] - mean) ** 2 + 1
    np.testing.assert_allclose(v[:, 1:].var(axis=0), variances, rtol=6 * np.sqrt(2 / N))


# --------------------------------------------------------------------------------------------------- gradients


def statistics(rbm, v, weights):
    """⟨v hᵀ⟩, ⟨v⟩ and ⟨h⟩ over rows v with these weights, hidden units at their means."""
    W, _, c = parameters(rbm)
    p = expit(v @ W + c)
    return [(v.T * weights) @ p, weights @ v, weights @ p]


def exact_gradients(rbm, v):
    """Gradients of minus the mean log-likelihood of the rows v, by enumeration."""
    if rbm.visible == "gaussian":
        weights, centres = mixture(rbm)
        h = states(centres.shape[0].bit_length() - 1)
        model = [(centres.T * weights) @ h, weights @ centres, weights @ h]
    else:
        model = statistics(rbm, states(v.shape[1]), exact_probabilities(rbm).sum(axis=1))
    return [m - d for m, d in zip(model, statistics(rbm, v, np.full(len(v), 1 / len(v))))]


def gradients(estimate):
    return [to_numpy(gradient).copy() for gradient in estimate.gradients]


def assert_close(found, expected, **tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, **tolerance)


def test_the_exact_gradient_is_that_of_the_exact_log_likelihood(rng, central_differences):
    """The enumeration that the tests below rely on, against central differences."""
    rbm, v = machine(rng), bits(12, 5, rng)

    def loss():
        return exact_log_partition(rbm).log_z + rbm.free_energy(v).mean()

    numerical = [central_differences(loss, array) for array in rbm.parameters_.values()]
    assert_close(exact_gradients(rbm, v), numerical, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("k", [1, 3])
def test_chains_at_the_model_make_the_gradient_that_of_the_log_likelihood(rng, visible, k):
    """In the mean of 200,000 of them, within five standard errors; the chains stay there."""
    rbm, n = machine(rng, scale=1.0, visible=visible), 200_000
    p_hidden = exact_probabilities(rbm).sum(axis=0) if visible == "binary" else mixture(rbm)[0]
    estimate = ContrastiveDivergence(rbm, Noise(generator(0)), k=k, n_chains=n)
    estimate.state["chains"][...] = draw(p_hidden, n, rng)[0]
    v = rng.random((9, 5))
    expected = exact_gradients(rbm, v)
    sd = 0.5 if visible == "binary" else 2.0  # of a unit, or at most of one that is a mixture
    for _ in range(2):
        estimate(to_device(v))
        assert_close(gradients(estimate), expected, atol=5 * sd / np.sqrt(n))
        assert_distributed(index(estimate.state["chains"]), p_hidden)
    assert max(abs(gradient).max() for gradient in expected) > 0.1


@pytest.mark.parametrize("k", [1, 3])
def test_the_expectation_of_cd_is_that_of_its_markov_chain(rng, k):
    """Minibatch of eight rows, each 30,000 times; the transition probabilities of the chains by enumeration."""
    rbm, n = machine(rng), 30_000
    p = exact_probabilities(rbm)
    up, down = p / p.sum(axis=1, keepdims=True), (p / p.sum(axis=0)).T
    rows = np.concatenate([bits(6, 5, rng), rng.random((2, 5))])
    W, _, c = parameters(rbm)
    x = rows @ W + c
    h = np.exp(x @ states(4).T - np.logaddexp(0, x).sum(axis=1, keepdims=True))  # (8, 16)
    q = h.mean(axis=0) @ down @ np.linalg.matrix_power(up @ down, k - 1)
    negative, positive = statistics(rbm, states(5), q), statistics(rbm, rows, np.full(8, 1 / 8))
    estimate = ContrastiveDivergence(rbm, Noise(generator(0)), k=k)
    estimate(to_device(np.tile(rows, (n, 1))))
    expected = [m - d for m, d in zip(negative, positive)]
    tolerance = 5 * 0.5 / np.sqrt(8 * n)
    assert_close(gradients(estimate), expected, atol=tolerance)
    other = exact_gradients(rbm, rows)
    assert max(abs(a - b).max() for a, b in zip(expected, other)) > 5 * tolerance  # CD is biased, and that is seen


@pytest.mark.parametrize("settings", [{"n_chains": 100}, {"n_chains": 100, "k": 3}])
def test_a_short_minibatch_has_the_expectation_of_a_whole_one(rng, settings):
    """With the same chains the gradient is linear in the rows: the mean over single rows is that of all of them."""
    rbm, v = machine(rng), rng.random((7, 5))

    def call(rows):
        estimate = ContrastiveDivergence(rbm, Noise(generator(4)), **settings)
        loss = estimate(to_device(rows))
        return [*gradients(estimate), float(loss)]

    single = [call(row[None]) for row in v]
    assert_close([np.mean(parts, axis=0) for parts in zip(*single)], call(v), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"n_chains": 6}, {"visible_offset": 0.3}])
def test_minibatches_of_different_lengths_share_an_estimator(rng, settings):
    """Buffers are used in part, or made anew, and nothing of an earlier minibatch is left in them."""
    rbm, v = machine(rng), bits(12, 5, rng)
    if "visible_offset" in settings:
        settings = {"visible_offset": to_device(np.full(5, settings["visible_offset"]))}
    noise = Noise(generator(4))
    shared = ContrastiveDivergence(rbm, noise, **settings)
    for n in (8, 3, 12, 1):
        again = np.random.default_rng()
        again.bit_generator.state = noise._rng.bit_generator.state
        noise.renew()
        fresh = ContrastiveDivergence(rbm, Noise(again), **settings)
        again.bit_generator.state = noise._rng.bit_generator.state
        fresh.noise.renew()
        fresh.state = {name: array.copy() for name, array in shared.state.items()}
        losses = [float(estimate(to_device(v[:n]))) for estimate in (shared, fresh)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
        assert_close(gradients(shared), gradients(fresh), rtol=1e-12, atol=1e-14)


class Watched(RBM):
    """A machine that remembers the visible states drawn last."""

    def _draw_visible(self, means, noise, inverse_temperature=1.0, out=None):
        self.drawn = super()._draw_visible(means, noise, inverse_temperature, out)
        return self.drawn


def one_call(rng, visible, settings):
    """A machine, a minibatch, the visible states of its chains, and the loss and the gradients that came of them."""
    rbm, v = Watched.from_parameters(*parameters(machine(rng)), visible=visible), rng.random((9, 5))
    estimate = ContrastiveDivergence(rbm, Noise(generator(0)), **settings)
    loss = float(estimate(to_device(v)))
    return rbm, v, rbm.drawn.copy(), loss, gradients(estimate)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("settings", [{}, {"k": 3}, {"n_chains": 6}])
def test_the_loss_is_a_difference_of_energies(rng, visible, settings):
    """Of the data less that of the chains, hidden units at their means."""
    rbm, v, negative, loss, _ = one_call(rng, visible, settings)
    expected = rbm.energy(v, rbm.propup(v)).mean() - rbm.energy(negative, rbm.propup(negative)).mean()
    assert loss == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("settings", [{}, {"k": 3}, {"n_chains": 6}])
def test_the_gradient_is_the_derivative_of_that_difference(rng, central_differences, visible, settings):
    """With the states, and the means of the hidden units, held as they are."""
    rbm, v, negative, _, found = one_call(rng, visible, settings)
    means, negative_means = rbm.propup(v), rbm.propup(negative)

    def difference():
        return rbm.energy(v, means).mean() - rbm.energy(negative, negative_means).mean()

    expected = [central_differences(difference, array) for array in rbm.parameters_.values()]
    assert_close(found, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("settings", [{}, {"n_chains": 6, "k": 2}])
def test_the_centred_gradient_is_the_plain_one_transformed(rng, visible, settings):
    """In the same states: Melchior, Fischer and Wiskott (2016), in terms of the plain parameters."""
    rbm, mu = machine(rng, visible=visible), rng.random(5)
    plain, centred = (
        ContrastiveDivergence(rbm, Noise(generator(7)), visible_offset=offset, **settings)
        for offset in (None, to_device(mu))
    )
    lam = np.full(4, 0.5)
    for n in (9, 9, 4):
        v = rng.random((n, 5))
        losses = [float(estimate(to_device(v))) for estimate in (plain, centred)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
        G_W, g_b, g_c = gradients(plain)
        G_W = G_W - np.outer(g_b, lam) - np.outer(mu, g_c)
        expected = [G_W, g_b - G_W @ lam, g_c - mu @ G_W]
        assert_close(gradients(centred), expected, rtol=1e-10, atol=1e-13)
        lam = 0.99 * lam + 0.01 * to_numpy(rbm.propup(v)).mean(axis=0)
        np.testing.assert_allclose(to_numpy(centred.state["hidden_offset"]), lam, rtol=1e-12)


def test_weights_given_in_another_order_of_memory_are_updated_too(rng):
    """A transpose is a view; the update in place must reach what the machine uses."""
    W, b, c = parameters(machine(rng))
    machines = [RBM.from_parameters(array, b.copy(), c.copy()) for array in (W.copy(), np.asfortranarray(W))]
    for rbm in machines:
        estimate = ContrastiveDivergence(rbm, Noise(generator(0)))
        estimate(to_device(states(5)))
        SGD(0.1).update(list(rbm.parameters_.values()), estimate.gradients)
    assert_close(parameters(machines[1]), parameters(machines[0]), rtol=1e-10)
    assert abs(parameters(machines[0])[0] - W).max() > 0.01


class Thresholded(RBM):
    """A machine whose visible units take their likelier value: of flipped means it is the flipped one."""

    def _draw_visible(self, means, noise, inverse_temperature=1.0, out=None):
        return xp.greater(means, 0.5, out=out)


def test_the_centred_gradient_does_not_care_which_bit_is_called_one(rng):
    """Turning v into 1 − v makes of (W, b, c) the machine (−W, −b, c + Σᵢ Wᵢ); its gradients must change likewise."""
    W, b, c = parameters(machine(rng))
    rows, mu = bits(20, 5, rng), rng.random(5)

    def call(W, b, c, rows, mu):
        offset = None if mu is None else to_device(mu)
        rbm = Thresholded.from_parameters(W, b, c)
        estimate = ContrastiveDivergence(rbm, Noise(generator(2)), n_chains=15, k=2, visible_offset=offset)
        estimate(to_device(rows))
        return gradients(estimate)

    def flipped(W, b, c):
        return -W, -b, c + W.sum(axis=0)

    centred, other = call(W, b, c, rows, mu), call(*flipped(W, b, c), 1 - rows, 1 - mu)
    assert_close(other, flipped(*centred), rtol=1e-9, atol=1e-12)
    plain, other = call(W, b, c, rows, None), call(*flipped(W, b, c), 1 - rows, None)
    assert abs(other[0] - flipped(*plain)[0]).max() > 0.1


# ----------------------------------------------------------------------------------- pseudo-log-likelihood, scores


def brute_pseudo_log_likelihood(rbm, v):
    """Each log p(vᵢ | the others) from the free energies of the two states, grey levels as probabilities of a one."""
    result = 0.0
    for i in range(v.shape[1]):
        both = [np.where(np.arange(v.shape[1]) == i, value, v) for value in (0.0, 1.0)]
        log_p = -np.stack([to_numpy(rbm.free_energy(states)) for states in both])
        log_p -= logsumexp(log_p, axis=0)
        result = result + v[:, i] * log_p[1] + (1 - v[:, i]) * log_p[0]
    return result


def test_the_pseudo_log_likelihood_by_enumeration(rng):
    """Of all states, from the joint distribution."""
    rbm = machine(rng)
    p, v = exact_probabilities(rbm).sum(axis=1), states(5)
    expected = sum(np.log(p / (p + p[index(abs(v - np.eye(5)[i]))])) for i in range(5))
    np.testing.assert_allclose(to_numpy(rbm.pseudo_log_likelihood(v)), expected, rtol=1e-10)


def test_the_pseudo_log_likelihood_of_grey_levels(rng):
    rbm, v = machine(rng, 9, 6), rng.random((11, 9))
    found = to_numpy(rbm.pseudo_log_likelihood(v))
    np.testing.assert_allclose(found, brute_pseudo_log_likelihood(rbm, v), rtol=1e-10)
    np.testing.assert_array_equal(found, to_numpy(rbm.pseudo_log_likelihood(v)))


def test_the_pseudo_log_likelihood_does_not_depend_on_the_order(rng):
    """Of the rows, nor of the pixels; and many rows, which are taken block by block, are so many single ones."""
    rbm = machine(rng, 6, 300)
    v, order = rng.random((1000, 6)), rng.permutation(6)
    found = to_numpy(rbm.pseudo_log_likelihood(v))
    np.testing.assert_allclose(to_numpy(rbm.pseudo_log_likelihood(v[::-1]))[::-1], found, rtol=1e-9)
    np.testing.assert_allclose(to_numpy(rbm.pseudo_log_likelihood(v[700:701])), found[700:701], rtol=1e-9)
    W, b, c = parameters(rbm)
    permuted = RBM.from_parameters(W[order], b[order], c)
    np.testing.assert_allclose(to_numpy(permuted.pseudo_log_likelihood(v[:, order])), found, rtol=1e-9)


def test_scores_are_pseudo_log_likelihoods_on_the_host(rng):
    rbm, v = machine(rng, dtype=np.float32), bits(20, 5, rng)
    scores = rbm.score_samples(v)
    assert type(scores) is np.ndarray and scores.shape == (20,)
    np.testing.assert_allclose(scores, to_numpy(rbm.pseudo_log_likelihood(v)), rtol=1e-6)
    assert rbm.score(v) == pytest.approx(scores.mean(), rel=1e-6)
    np.testing.assert_allclose(rbm.transform(v), to_numpy(rbm.propup(v)), rtol=1e-6)


def test_gaussian_units_have_no_pseudo_log_likelihood():
    for name in ("pseudo_log_likelihood", "score_samples", "score"):
        assert hasattr(RBM(), name) and not hasattr(RBM(visible="gaussian"), name)


def test_log_odds_are_those_of_the_means_with_two_rows_more():
    v = np.array([[0, 1, 0.5], [0, 1, 0.0], [0, 1, 1.0]])
    expected = np.log([1 / 4, 4 / 1, 2.5 / 2.5])
    np.testing.assert_allclose(to_numpy(log_odds(v)), expected, atol=1e-6)
    for wrong, says in [
        (255 * v, "v: expected pixels from 0 to 1, found 0 to 255"), (-v, "v: expected pixels from 0 to 1"),
        (v * np.nan, "v: expected finite numbers"), (v[:0], r"found \(0, 3\)"), (v[0], r"found \(3,\)"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=says):
            log_odds(wrong)


# ------------------------------------------------------------------------------------------- training, as a whole


@pytest.fixture
def images(rng):
    """A hundred and three rows of six grey levels, four of which go together."""
    kind = rng.integers(2, size=(103, 1))
    return np.clip(np.repeat([[0.9, 0.8, 0.2, 0.1, 0.5, 0.3]], 103, 0) * kind + 0.1 * rng.random((103, 6)), 0, 1)


def in_a_few_lines(X, *, learning_rate, n_epochs, batch_size, n_hidden, random_state, k=1, persistent=False,
                   visible="binary", binarize=False, centered=False, momentum=0.0, weight_decay=0.0,
                   sparsity_target=0.1, sparsity_cost=0.0, averaging=0.0, schedule="constant"):  # fmt: skip
    """What `fit` does, in float64; random numbers in the same order."""
    rng = np.random.default_rng(random_state)
    noise = Noise(rng)

    def coins(p):
        return (to_numpy(noise.uniform(xp.empty(p.shape, xp.float32))) < p).astype(float)

    def visible_units(h):
        a = h @ W.T + b
        return a + to_numpy(noise.normal(xp.empty(a.shape, xp.float32))) if visible == "gaussian" else coins(expit(a))

    n, n_visible = X.shape
    W = 0.01 * rng.standard_normal((n_visible, n_hidden))
    means = (X.sum(axis=0) + 1) / (n + 2)
    b, c = X.mean(axis=0) if visible == "gaussian" else np.log(means / (1 - means)), np.zeros(n_hidden)
    chains = coins(np.full((batch_size, n_hidden), 0.5)) if persistent else None
    mu, lam, activity = X.mean(axis=0), np.full(n_hidden, 0.5), np.full(n_hidden, sparsity_target)
    velocities, averages, t = [0.0, 0.0, 0.0], [W, b, c], 0
    n_updates = n_epochs * -(-n // batch_size)
    for _ in range(n_epochs):
        noise.renew()
        for batch in np.split(rng.permutation(n), range(batch_size, n, batch_size)):
            v = coins(X[batch]) if binarize else X[batch]
            p = expit(v @ W + c)
            h = chains if persistent else coins(p)
            for step in range(k):
                v_model = visible_units(h)
                p_model = expit(v_model @ W + c)
                h = coins(p_model) if persistent or step < k - 1 else None
            chains = h
            if sparsity_cost:
                activity = 0.9 * activity + 0.1 * p.mean(axis=0)
            force = sparsity_cost * (sparsity_target - activity) if sparsity_cost else 0.0
            G_W = v_model.T @ p_model / len(v_model) - v.T @ (p + force) / len(v)
            g_b = v_model.mean(axis=0) - v.mean(axis=0)
            g_c = p_model.mean(axis=0) - (p + force).mean(axis=0)
            if centered:
                G_W = G_W - np.outer(g_b, lam) - np.outer(mu, g_c)
                g_b, g_c = g_b - G_W @ lam, g_c - mu @ G_W
                lam = 0.99 * lam + 0.01 * p.mean(axis=0)
            rate = learning_rate * (1 - t / n_updates if schedule == "linear" else 1)
            steps = [G_W + weight_decay * W, g_b, g_c]
            velocities = [momentum * velocity - rate * step for velocity, step in zip(velocities, steps)]
            W, b, c = (array + velocity for array, velocity in zip((W, b, c), velocities))
            t += 1
            d = min(averaging, (1 + t) / (10 + t)) if averaging else 0
            averages = [d * mean + (1 - d) * array for mean, array in zip(averages, (W, b, c))]
    return averages


EVERYTHING = {
    "k": 2,
    "persistent": True,
    "binarize": True,
    "centered": True,
    "momentum": 0.5,
    "weight_decay": 0.01,
    "sparsity_target": 0.2,
    "sparsity_cost": 0.3,
    "averaging": 0.8,
    "schedule": "linear",
}
SETTINGS = {
    "CD": {},
    "CD-3": {"k": 3},
    "PCD": {"persistent": True},
    "binarize": {"binarize": True},
    "centered": {"centered": True},
    "momentum": {"momentum": 0.7},
    "weight decay": {"weight_decay": 0.1},
    "sparsity": {"sparsity_target": 0.3, "sparsity_cost": 0.5},
    "averaging": {"averaging": 0.9},
    "schedule": {"schedule": "linear"},
    "Gaussian": {"visible": "gaussian", "learning_rate": 0.05},
    "Gaussian, centered PCD": {"visible": "gaussian", "centered": True, "persistent": True, "learning_rate": 0.05},
    "everything": EVERYTHING,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_training_equals_the_same_thing_in_a_few_lines(images, name):
    """Three epochs of minibatches of 20, the last one of 3; each of the settings makes a difference."""
    common = {"n_hidden": 5, "learning_rate": 0.2, "n_epochs": 3, "batch_size": 20, "random_state": 7}
    X = images.astype(np.float32)
    rbm = RBM(**(common | SETTINGS[name])).fit(X)
    expected = in_a_few_lines(X.astype(float), **(common | SETTINGS[name]))
    assert_close(parameters(rbm), expected, rtol=1e-3, atol=1e-4)
    assert len(rbm.history_.train_loss) == 3 and rbm.history_.last_update == 18
    if name != "CD":
        plain = in_a_few_lines(X.astype(float), **common)
        assert abs(parameters(rbm)[0] - plain[0]).max() > 0.01


@pytest.mark.parametrize("persistent", [False, True])
def test_every_row_is_used_in_every_epoch(images, monkeypatch, persistent):
    """Also those of the last minibatch, of three rows against a hundred chains."""
    seen = []

    class Recorded(ContrastiveDivergence):
        def __call__(self, v):
            seen.append(to_numpy(v).copy())
            return super().__call__(v)

    monkeypatch.setattr(rbm_module, "ContrastiveDivergence", Recorded)
    rbm = RBM(n_hidden=4, n_epochs=2, batch_size=100, persistent=persistent, random_state=0).fit(images)
    assert [len(v) for v in seen] == [100, 3] * 2
    for epoch in (seen[:2], seen[2:]):
        rows = np.concatenate(epoch)
        np.testing.assert_array_equal(
            rows[np.lexsort(rows.T)], images.astype(np.float32)[np.lexsort(images.astype(np.float32).T)]
        )
    if persistent:
        assert rbm.chains_.shape == (100, 4) and set(np.unique(to_numpy(rbm.chains_))) <= {0, 1}


def test_more_chains_than_rows(images):
    rbm = RBM(n_hidden=4, n_epochs=2, batch_size=500, persistent=True, random_state=0).fit(images)
    assert rbm.chains_.shape == (500, 4) and rbm.history_.updates == [1, 2]


def test_chains_of_an_earlier_fit_do_not_stay(images):
    rbm = RBM(n_hidden=4, n_epochs=1, persistent=True).fit(images)
    assert not hasattr(rbm.set_params(persistent=False).fit(images), "chains_")


def test_the_first_machine_has_the_means_of_the_pixels(images):
    rbm = RBM(n_hidden=4, n_epochs=0, random_state=0).fit(images)
    np.testing.assert_allclose(to_numpy(rbm.visible_bias_), to_numpy(log_odds(images)), rtol=1e-6)
    W = to_numpy(RBM(n_hidden=400, n_epochs=0, random_state=0).fit(images).W_)
    assert W.dtype == np.float32 and W.std() == pytest.approx(0.01, rel=0.1)
    gaussian = RBM(n_hidden=4, n_epochs=0, visible="gaussian").fit(images)
    np.testing.assert_allclose(to_numpy(gaussian.visible_bias_), images.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_watcher_sees_the_machine_after_every_epoch(images, averaging):
    """The one that would be returned: with averaging, the average."""
    seen = []
    rbm = RBM(n_hidden=4, n_epochs=3, averaging=averaging, random_state=0)
    rbm.fit(images, watch=lambda model: seen.append((model, arrays(model))))
    assert len(seen) == 3 and all(model is rbm for model, _ in seen)
    assert_same(seen[-1][1], arrays(rbm))
    first = RBM(n_hidden=4, n_epochs=1, averaging=averaging, random_state=0).fit(images)
    assert_same(seen[0][1], arrays(first))


def test_labels_are_ignored(images):
    rbm = RBM(n_hidden=4, n_epochs=2, random_state=0)
    assert_same(arrays(clone(rbm).fit(images, np.arange(103))), arrays(rbm.fit(images)))


# --------------------------------------------------------------------------------------------- what it learns


def exact_log_likelihood(rbm, v):
    return float(-rbm.free_energy(v).mean()) - exact_log_partition(rbm).log_z


@pytest.mark.slow
def test_it_learns_bars_and_stripes():
    """Fourteen pictures: no model gives them more than −log 14 = −2.64 nats in the mean; independent pixels, −6.2."""
    X = np.tile(bars_and_stripes(3), (10, 1))
    assert len(X) == 140
    best = -np.log(14)
    settings = {"n_hidden": 10, "batch_size": 70, "random_state": 0, "learning_rate": 0.2, "momentum": 0.5}
    start = exact_log_likelihood(RBM(n_epochs=0, **settings).fit(X), X)
    pcd = RBM(n_epochs=1500, persistent=True, centered=True, averaging=0.999, **settings).fit(X)
    cd = RBM(n_epochs=300, **settings).fit(X)
    pcd, cd = exact_log_likelihood(pcd, X), exact_log_likelihood(cd, X)
    assert start < -6 and best - 0.3 < pcd <= best and start + 0.5 < cd <= best


def test_gaussian_units_learn_two_clusters(rng):
    """The likelihood is exact here: a mixture of four Gaussians of variance one."""
    X = (np.repeat([[-2.0, 2.0, 0.0], [2.0, -1.0, 1.0]], 200, axis=0) + rng.normal(size=(400, 3))).astype(np.float32)
    rbm = RBM(n_hidden=2, visible="gaussian", learning_rate=0.02, n_epochs=60, batch_size=20, persistent=True)
    rbm.set_params(random_state=0).fit(X)
    weights, centres = mixture(rbm)
    distances = ((X[:, None].astype(float) - centres) ** 2).sum(axis=2) / 2
    found = logsumexp(np.log(weights) - distances, axis=1).mean() - 1.5 * np.log(2 * np.pi)
    ideal = -1.5 * np.log(2 * np.pi) - 1.5 - np.log(2)  # of two clusters this far apart
    assert found > ideal - 0.2


def test_sparsity_moves_the_activity_to_the_target(images):
    settings = {"n_hidden": 10, "n_epochs": 40, "batch_size": 20, "learning_rate": 0.1, "random_state": 0}
    free = RBM(**settings).fit(images).transform(images).mean(axis=0)
    for target in (0.1, 0.3):
        sparse = RBM(sparsity_target=target, sparsity_cost=3.0, **settings).fit(images).transform(images)
        assert abs(sparse.mean(axis=0) - target).max() < 0.08 < abs(free - target).min()


def test_weight_decay_makes_smaller_weights_and_leaves_the_biases_free(images):
    norms = []
    for weight_decay in (0.0, 0.01, 0.1):
        rbm = RBM(n_hidden=5, learning_rate=0.5, n_epochs=40, weight_decay=weight_decay, batch_size=20, random_state=0)
        rbm.fit(images)
        norms.append(np.linalg.norm(to_numpy(rbm.W_)))
    assert norms == sorted(norms, reverse=True) and norms[-1] < 0.5 < 3 < norms[0]
    np.testing.assert_allclose(to_numpy(rbm.propdown(np.zeros((1, 5))))[0], images.mean(axis=0), atol=0.1)


# ------------------------------------------------------------------------------------------ wrong numbers and words


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"visible": "Gaussian"}, "visible is 'Gaussian'; expected 'binary' or 'gaussian'"),
        ({"visible": None}, "visible is None; expected"),
        ({"n_hidden": 0}, "n_hidden is 0; expected a whole number, at least 1"),
        ({"k": 0}, "k is 0; expected a whole number, at least 1"),
        ({"batch_size": -1}, "batch_size is -1; expected a whole number, at least 1"),
        ({"binarize": True, "visible": "gaussian"}, "Gaussian visible units have none"),
        ({"schedule": "exponential"}, "schedule is 'exponential'; expected 'constant'"),
    ],
)
def test_wrong_settings_are_named(images, settings, says):
    with pytest.raises(ValueError, match=says):
        RBM(**settings).fit(images)


def test_wrong_inputs_are_named(images):
    rbm = RBM(n_hidden=3, n_epochs=1)
    for X, says in [
        (np.where(images > 0.9, np.nan, images), "NaN"),
        (images[0], "Expected 2D array"),
        (images[:0], "minimum of 1 is required"),
    ]:
        with pytest.raises(ValueError, match=says):
            rbm.fit(X)
    rbm.fit(images)
    with pytest.raises(ValueError, match="expecting 6 features"):
        rbm.transform(images[:, :5])


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda rbm: rbm.sample(0), "n: expected a whole number, at least 1, found 0"),
        (lambda rbm: rbm.sample(steps=-1), "steps: expected a whole number, at least 0, found -1"),
        (
            lambda rbm: rbm.chains(np.ones((3, 5)), 0, np.ones(4)),
            r"clamp: expected shape \(5,\) or \(3, 5\), found \(4",
        ),
        (lambda rbm: rbm.sample(3, clamp=np.ones(5)), "clamp: expected `start` with it"),
        (lambda rbm: rbm.sample(start=np.full(5, np.nan)), "start: expected finite numbers"),
        (lambda rbm: rbm.sample(start=np.full(5, 255), steps=0), "expect values from 0 to 1, found 255 to 255"),
        (lambda rbm: rbm.chains(np.zeros((2, 4)), 0), r"start: expected .* \(n, 5\), .* found \(2, 4\)"),
        (lambda rbm: rbm.chains(np.zeros((2, 5)), 0, inverse_temperature=-1), "expected a finite number from 0"),
        (lambda rbm: rbm.sample(inverse_temperature=np.nan), "inverse_temperature: .* from 0, found nan"),
        (lambda rbm: rbm.sample(inverse_temperature=np.inf), "inverse_temperature: .* from 0, found inf"),
        (
            lambda rbm: rbm.set_params(visible="gaussian").sample(inverse_temperature=0),
            "above 0, found 0",
        ),
        (lambda rbm: rbm.sample(inverse_temperature="1"), "inverse_temperature: .* found '1'"),
        (lambda rbm: rbm.sample_h_given_v(np.zeros((2, 5)), 0, np.nan), "inverse_temperature: .* found nan"),
        (lambda rbm: rbm.gibbs_vhv(np.zeros((2, 5)), 0, -1.0), "inverse_temperature: .* found -1"),
        (lambda rbm: rbm.free_energy(np.zeros((2, 5)), True), "inverse_temperature: .* found True"),
        (lambda rbm: rbm.pseudo_log_likelihood(np.zeros((0, 5))), r"v: expected .* found \(0, 5\)"),
    ],
)
def test_what_cannot_be_drawn_or_scored_is_refused(rng, ask, says):
    with pytest.raises(ValueError, match=says):
        ask(machine(rng))


def test_values_outside_0_to_1_are_warned_of(images):
    with pytest.warns(UserWarning, match="expect values from 0 to 1, found .* to 2.5; .*visible='gaussian'"):
        rbm = RBM(n_hidden=3, n_epochs=0).fit(images * 2.5)
    assert np.isfinite(to_numpy(rbm.visible_bias_)).all()
    with warnings.catch_warnings(action="error"):
        RBM(n_hidden=3, n_epochs=1).fit(images)
        RBM(n_hidden=3, n_epochs=1, visible="gaussian", learning_rate=0.01).fit(3 * images)


def test_divergence_is_explained(images):
    rbm = RBM(n_hidden=5, visible="gaussian", learning_rate=10.0, n_epochs=200, random_state=0)
    with pytest.raises(training.Divergence, match="ten times smaller"):
        rbm.fit(100 * images)


# ------------------------------------------------------------------------------- randomness, resume, storage


def test_a_machine_that_was_not_trained_comes_back_from_its_file(tmp_path, rng):
    rbm = machine(rng)
    save_model(tmp_path / "rbm.npz", rbm)
    again = load_model(tmp_path / "rbm.npz", RBM)
    assert_same(arrays(again), arrays(rbm))
    np.testing.assert_array_equal(to_numpy(again.free_energy(states(5))), to_numpy(rbm.free_energy(states(5))))


# ------------------------------------------------------------------------------------ among other estimators


def test_its_features_have_names(images):
    rbm = RBM(n_hidden=3, n_epochs=1).fit(images)
    assert list(rbm.get_feature_names_out()) == ["rbm0", "rbm1", "rbm2"]
    features = rbm.transform(images)
    assert features.shape == (103, 3) and features.dtype == np.float32 and type(features) is np.ndarray
    np.testing.assert_array_equal(clone(rbm).set_params(random_state=0).fit_transform(images).shape, (103, 3))


@pytest.mark.slow
def test_in_a_pipeline_and_a_grid_search():
    """Bars or stripes: a linear classifier cannot tell them by the pixels, but by the features."""
    X = bars_and_stripes(3)
    X = X[(X.mean(axis=1) > 0) & (X.mean(axis=1) < 1)]  # all black and all white are both
    y = (X.reshape(-1, 3, 3) == X.reshape(-1, 3, 3)[:, :1]).all(axis=(1, 2)).astype(int)
    X, y = np.tile(X, (20, 1)), np.tile(y, 20)
    assert LogisticRegression().fit(X, y).score(X, y) < 0.7
    settings = {"learning_rate": 0.2, "n_epochs": 100, "batch_size": 40, "random_state": 0}
    search = GridSearchCV(
        make_pipeline(RBM(**settings), LogisticRegression(C=100, max_iter=1000)), {"rbm__n_hidden": [1, 24]}, cv=3
    ).fit(X, y)
    assert search.best_params_ == {"rbm__n_hidden": 24} and search.best_score_ > 0.9


@pytest.mark.slow
def test_a_search_without_labels_goes_by_the_pseudo_log_likelihood(images):
    search = GridSearchCV(
        RBM(n_hidden=4, n_epochs=40, batch_size=10, random_state=0), {"learning_rate": [1e-6, 0.2]}, cv=3
    )
    search.fit(images)
    assert search.best_params_ == {"learning_rate": 0.2}
    assert search.best_score_ == pytest.approx(search.best_estimator_.score(images), rel=0.1)


def test_pixels_are_from_0_to_1_up_to_rounding(rng):
    rbm = machine(rng)
    for pixel, refused in (1 + 5e-7, False), (-5e-7, False), (1.005, True), (-0.005, True):
        with pytest.raises(ValueError, match="expect values from 0 to 1") if refused else nullcontext():
            rbm.chains(np.full((1, 5), pixel), 0)


def test_who_was_warned_of_other_values_than_pixels_may_go_on_with_them(images):
    with pytest.warns(UserWarning, match="expect values from 0 to 1"):
        rbm = RBM(n_hidden=3, n_epochs=1).fit(2 * images)
    rbm.chains(2 * images, 0)


def test_gaussian_units_are_warned_of_columns_that_are_not_scaled(images):
    with pytest.warns(UserWarning, match="scale them"):
        RBM(n_hidden=3, n_epochs=1, visible="gaussian", learning_rate=0.0).fit(100 * images)


def test_chains_keep_what_they_were_given(rng):
    """What is clamped is a copy of `start`, which may change meanwhile; no step at all is a copy, too."""
    rbm, start = machine(rng), xp.ones((3, 5), xp.float32)
    chains = rbm.chains(start, 0, clamp=[True] * 5)
    next(chains)
    start[...] = 0
    assert bool((next(chains)[0] == 1).all())
    rbm.sample(start=start, steps=0)[...] = 1
    assert not bool(start.any())


@pytest.mark.parametrize("type_", [np.int8, np.uint8, np.int16, np.uint64])
def test_counts_may_be_small_numbers_of_numpy(images, type_):
    """Products and differences of them would overflow: a rate that falls would rise, and steps be left out."""
    options = {"n_hidden": 3, "schedule": "linear", "random_state": 0}
    plain = RBM(n_epochs=120, batch_size=50, **options).fit(images)
    small = RBM(n_epochs=type_(120), batch_size=type_(50), **options).fit(images)
    assert_same(plain.parameters_, small.parameters_)


def test_an_inverse_temperature_may_be_an_array_of_one_number(rng):
    rbm, v = machine(rng), np.ones((2, 5))
    np.testing.assert_array_equal(to_numpy(rbm.free_energy(v, xp.array(0.5))), to_numpy(rbm.free_energy(v, 0.5)))
    rbm.sample(steps=1, inverse_temperature=xp.array(0.5), random_state=0)
