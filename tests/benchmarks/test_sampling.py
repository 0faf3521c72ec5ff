"""Effective samples per gradient and per second, beside a library's HMC at the same settings (`make benchmark`)."""

import importlib.util
import time

import numpy as np
import pytest

from companion.diagnostics import effective_sample_size
from companion.hmc import HMC

D, CHAINS, STEP, LENGTH, N = 50, 8, 0.4, 6, 2000  # no direction comes to a whole period, or to half of one
VARIANCES = np.geomspace(1, 9, D)
SETTINGS = f"{D} dimensions, variances from 1 to 9, {CHAINS} chains, {LENGTH} steps of {STEP}, no jitter"


def worth(states):
    """Effective samples per gradient: the mean over all variables of states (N, CHAINS, D)."""
    return np.mean([effective_sample_size(states[:, :, i]) for i in range(D)]) / (CHAINS * N * LENGTH)


def start():
    return VARIANCES**0.5 * np.random.default_rng(0).standard_normal((CHAINS, D))


def companion():
    """Return states and seconds of our chains."""
    chains = HMC(lambda x: 0.5 * (x * x / VARIANCES).sum(axis=1), lambda x: x / VARIANCES, start(), step_size=STEP,
                 n_steps=LENGTH, jitter=0.0, random_state=0)  # fmt: skip
    chains.draw(10)
    begin = time.perf_counter()
    return chains.draw(N), time.perf_counter() - begin


def blackjax():
    """Return states and seconds of BlackJAX's, compiled beforehand, in float64."""
    import jax
    import jax.numpy as jnp
    from blackjax import hmc

    jax.config.update("jax_enable_x64", True)
    variances = jnp.asarray(VARIANCES)
    kernel = hmc(lambda x: -0.5 * (x * x / variances).sum(), STEP, jnp.ones(D), LENGTH)

    @jax.jit
    def run(key, states):
        def transition(states, key):
            states, _ = jax.vmap(kernel.step)(jax.random.split(key, CHAINS), states)
            return states, states.position

        return jax.lax.scan(transition, states, jax.random.split(key, N))[1]

    states = jax.vmap(kernel.init)(jnp.asarray(start()))
    run(jax.random.key(1), states).block_until_ready()
    begin = time.perf_counter()
    found = run(jax.random.key(0), states).block_until_ready()
    return np.asarray(found), time.perf_counter() - begin


def test_as_many_effective_samples_per_gradient_as_elsewhere(rows):
    """The same algorithm at the same settings: within the noise of two runs, the same worth."""
    if importlib.util.find_spec("blackjax") is None:
        pytest.skip("blackjax is not installed: pip install blackjax")
    (ours, our_time), (theirs, their_time) = companion(), blackjax()
    ratio = worth(ours) / worth(theirs)
    print(f"\nHMC, {SETTINGS}: {worth(ours):.4f} effective samples a gradient, {ratio:.2f} × blackjax; ", end="")
    print(f"{ratio * their_time / our_time:.2f} × as many a second ({our_time:.2f} s, blackjax {their_time:.2f} s)")
    for name, found in (("hmc, a gradient", ratio), ("hmc, a second", ratio * their_time / our_time)):
        rows.append({"step": name, "batch": CHAINS, "beside": "blackjax", "ratio": found, "settings": SETTINGS})
    np.testing.assert_allclose(ours.std(axis=(0, 1)), VARIANCES**0.5, rtol=0.1)
    np.testing.assert_allclose(theirs.std(axis=(0, 1)), VARIANCES**0.5, rtol=0.1)
    assert ratio > 0.9
