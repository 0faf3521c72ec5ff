"""The RNN-RBM: gradients by differences, likelihoods against enumeration, chains that hold what they are given."""

from itertools import product

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from companion.backend import Noise, generator, to_device, to_numpy, xp
from companion.music import LOWEST, Chorale, ToyComposer, roll
from companion.optimize import Adam
from companion.rbm import RBM
from companion.rnnrbm import RNNRBM, _shifted
from companion.step_machines import (
    StepMachines,
    StepPartitions,
    annealed_log_partitions,
    counted_log_partitions,
    exact_log_partitions,
    sequence_likelihood,
)
from companion.storage import load_model, save_model


def random_model(n_keys=6, n_hidden=5, n_recurrent=4, scale=0.8, dtype=np.float64, seed=0):
    model, rng = RNNRBM(n_hidden=n_hidden, n_recurrent=n_recurrent), np.random.default_rng(seed)
    shapes = model._shapes(n_keys)
    parameters = {name: (scale * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}
    model._restore(parameters, n_keys)
    return model


def random_rolls(lengths=(4, 1, 6), n_keys=6, seed=1):
    rng = np.random.default_rng(seed)
    return [(rng.random((length, n_keys)) < 0.4).astype(np.float32) for length in lengths]


def toy_rolls(n=24, n_steps=16):
    composer, rng = ToyComposer(), generator(0)
    return composer, [roll(composer.compose(n_steps, rng)) for _ in range(n)]


SMALL = {"n_hidden": 6, "n_recurrent": 5, "n_epochs": 3, "batch_size": 2, "k": 2, "random_state": 0}


# ---------------------------------------------------------------------------------------------------------- gradients


class Repeated(Noise):
    """Noise that is the same at every call of what is differentiated."""

    def __init__(self):
        self.noise = Noise(generator(3))

    def uniform(self, out):
        return self.noise.uniform(out)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_those_of_finite_differences(central_differences, dropout):
    """With the ends of the chains held, the loss is a function of the parameters: all eight, through time."""
    model, rolls = random_model(), random_rolls()
    p, lengths = model.parameters_, [len(r) for r in rolls]
    v = to_device(np.concatenate(rolls), xp.float64)
    chains = to_device(np.concatenate(random_rolls(seed=2)), xp.float64)

    def evaluate():
        return RNNRBM.gradients(p, v, lengths, Repeated(), chains=chains, k=0, dropout=dropout)

    _, gradients, _ = evaluate()
    assert gradients.keys() == p.keys()
    for name, gradient in gradients.items():
        expected = central_differences(lambda: evaluate()[0], p[name])
        assert np.abs(expected).max() > 1e-4, name
        np.testing.assert_allclose(to_numpy(gradient), expected, atol=1e-7, err_msg=name)


def test_with_exact_samples_the_gradient_is_that_of_the_log_likelihood(central_differences):
    """States drawn from every step's machine itself in place of the chains: the slope of the whole likelihood."""
    model = random_model(n_keys=3, n_hidden=3, n_recurrent=2)
    p, v = model.parameters_, random_rolls((3,), 3)[0]
    every = np.array(list(product((0, 1), repeat=3)), float)

    def log_likelihood():
        machines = model.machines(v)
        return float(
            (-machines.free_energy(to_device(v, xp.float64)) - to_device(exact_log_partitions(machines))).mean()
        )

    machines, n = model.machines(v), 20_000
    rng, draws = np.random.default_rng(0), []
    for b, c in zip(machines.visible_bias, machines.hidden_bias):
        weights = np.exp(-to_numpy(RBM.from_parameters(p["W"], b, c).free_energy(every)))
        draws.append(every[rng.choice(8, n, p=weights / weights.sum())])
    ends = to_device(np.concatenate(np.stack(draws, axis=1)), xp.float64)  # n pieces of three steps
    many = to_device(np.tile(v, (n, 1)), xp.float64)
    _, found, _ = RNNRBM.gradients(p, many, [3] * n, Noise(generator(0)), chains=ends, k=0)
    for name, gradient in found.items():
        expected = -central_differences(log_likelihood, p[name])
        np.testing.assert_allclose(to_numpy(gradient), expected, atol=0.012, err_msg=name)


def test_pieces_of_unequal_length_do_not_touch_each_other():
    """The gradient of a minibatch is that of its pieces, each weighted by its steps."""
    model, rolls = random_model(), random_rolls()
    p, chains = model.parameters_, random_rolls(seed=2)

    def gradients(which):
        lengths = [len(rolls[i]) for i in which]
        v, ends = (to_device(np.concatenate([a[i] for i in which]), xp.float64) for a in (rolls, chains))
        return RNNRBM.gradients(p, v, lengths, Noise(generator(0)), chains=ends, k=0)[1]

    together = gradients([0, 1, 2])
    single = [gradients([i]) for i in range(3)]
    for name, gradient in together.items():
        mean = sum(len(rolls[i]) * to_numpy(single[i][name]) for i in range(3)) / sum(map(len, rolls))
        np.testing.assert_allclose(to_numpy(gradient), mean, atol=1e-12, err_msg=name)


# --------------------------------------------------------------------------------------------------------- likelihood


def test_the_machine_of_a_step_is_that_of_the_definition():
    """The biases by the equations, step by step; and the first step knows no past."""
    model, v = random_model(), random_rolls((5,))[0]
    p, u = {name: to_numpy(array) for name, array in model.parameters_.items()}, np.zeros(4)
    machines = model.machines(v)
    for t in range(5):
        np.testing.assert_allclose(to_numpy(machines.visible_bias[t]), p["visible_bias"] + u @ p["W_uv"])
        np.testing.assert_allclose(to_numpy(machines.hidden_bias[t]), p["hidden_bias"] + u @ p["W_uh"])
        u = np.tanh(p["state_bias"] + v[t] @ p["W_vu"] + u @ p["W_uu"])


def test_probabilities_of_all_sequences_add_up_to_one():
    model, total = random_model(n_keys=3, n_hidden=2, n_recurrent=2), 0.0
    for bits in product((0, 1), repeat=6):
        v = np.array(bits, np.float32).reshape(2, 3)
        machines = model.machines(v)
        total += np.exp(-to_numpy(machines.free_energy(to_device(v))).sum() - exact_log_partitions(machines).sum())
    assert total == pytest.approx(1)


def test_annealing_from_both_sides_meets_the_exact_value():
    """Eight hidden units, 30 steps. Forward too low and backward too high when hasty, both right when slow."""
    model, v = random_model(n_keys=8, n_hidden=8, dtype=np.float32), random_rolls((30,), 8)[0]
    machines = model.machines(v)
    exact = exact_log_partitions(machines)
    every = to_device(np.array(list(product((0, 1), repeat=8))), xp.float32)
    samples, rng = [], np.random.default_rng(0)
    for b, c in zip(machines.visible_bias, machines.hidden_bias):
        log_p = -to_numpy(RBM.from_parameters(machines.W, b, c).free_energy(every)).astype(float)
        p = np.exp(log_p - log_p.max())
        samples.append(to_numpy(every)[rng.choice(256, 6, p=p / p.sum())])
    start = np.stack(samples, axis=1)  # (6, 30, 8), exact samples
    given = start.copy()
    for n, level in ((5, None), (300, 0.15)):
        up = annealed_log_partitions(machines, n_temperatures=n, n_chains=6, random_state=0)
        down = annealed_log_partitions(machines, n_temperatures=n, start=start, random_state=1)
        np.testing.assert_array_equal(start, given)
        assert up.log_weights.shape == down.log_weights.shape == (30, 6) and up.samples.shape == (6, 30, 8)
        low, high = ((found.log_weights.mean(axis=1) - exact).mean() for found in (up, down))
        if level is None:
            assert low < -0.1 and high > 0.1
        else:
            assert abs(low) < level and abs(high) < level


def test_annealing_of_many_units_that_nearly_cancel_is_a_number():
    """The product of 2,000 factors near a half is none in float64; the sum of their logarithms is."""
    rng = np.random.default_rng(0)
    machines = StepMachines(*(to_device(rng.normal(0, 3, shape)) for shape in ((8, 2000), (2, 8), (2, 2000))))
    assert np.isfinite(annealed_log_partitions(machines, n_temperatures=1, random_state=0).log_weights).all()


def test_annealing_is_exact_without_weights():
    model = random_model(scale=0.0)
    machines = model.machines(random_rolls((5,))[0])
    found = annealed_log_partitions(machines, n_temperatures=3, n_chains=2, random_state=0)
    np.testing.assert_allclose(found.log_weights, 11 * np.log(2))
    np.testing.assert_allclose(found.log_z, 11 * np.log(2))


def test_samples_are_drawn_by_their_weights():
    """Weights 3 : 1 for the first step, all in the second chain for the second."""
    samples = np.arange(4, dtype=np.float32).reshape(2, 2, 1)  # sample 0 of the steps, then sample 1
    found = StepPartitions(np.array([[np.log(3), 0.0], [-1000.0, 5.0]]), samples)
    rng = np.random.default_rng(0)
    draws = np.array([found.resampled(rng)[..., 0] for _ in range(2000)])
    assert (draws[:, :, 1] == 3).all()
    assert abs((draws[:, :, 0] == 0).mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)


def test_counting_all_chords_is_exact_and_fewer_are_a_bound():
    machines = random_model().machines(random_rolls((5,))[0])
    exact = exact_log_partitions(machines)
    for all_keys in (6, 7):
        np.testing.assert_allclose(counted_log_partitions(machines, most_notes=all_keys), exact)
    bounds = [counted_log_partitions(machines, most_notes=n) for n in range(6)]
    assert all((low < high).all() for low, high in zip(bounds, [*bounds[1:], exact]))
    np.testing.assert_allclose(bounds[0], np.log1p(np.exp(to_numpy(machines.hidden_bias))).sum(axis=1))


def test_the_likelihood_of_pieces_and_its_errors():
    """Mean over the steps, not over the pieces; exact values have no error of log Z."""
    found = sequence_likelihood(np.array([-1.0, -2.0, -6.0]), np.zeros(3), [2, 1])
    assert found.mean == pytest.approx(-3) and found.log_z_error == 0
    assert found.piece_error == pytest.approx(np.sqrt(2 * (3**2 + 3**2)) / 3), "as of a sample"
    log_w = np.log([[1.0, 3.0]] * 4)
    found = sequence_likelihood(np.zeros(4), log_w, [4])
    assert found.mean == pytest.approx(-np.log(2)) and found.log_z_error == pytest.approx(0.5 / np.sqrt(4))
    assert np.isnan(found.piece_error), "of one piece nobody knows"
    found = sequence_likelihood(np.zeros(4), log_w[:, :1], [2, 2])
    assert np.isnan(found.log_z_error) and found.piece_error == 0, "nor of one chain"
    for steps in ([2, 1], [4, 0], []):
        with pytest.raises(ValueError, match="lengths: expected the steps of each piece, 4 together"):
            sequence_likelihood(np.zeros(4), log_w, steps)
    with pytest.raises(ValueError, match="lengths: expected"):
        sequence_likelihood(np.zeros(4), log_w.T, [2, 2])


def test_rolls_may_come_one_after_the_other(writer):
    rolls, options = [np.eye(46)[:3], np.eye(46)[3:8]], {"n_temperatures": 5, "random_state": 0}
    assert writer.log_likelihood(iter(rolls), **options) == writer.log_likelihood(rolls, **options)
    with pytest.raises(ValueError, match="found one array: put it into a list"):
        writer.log_likelihood(rolls[0], **options)


def test_what_has_not_learned_or_has_other_settings_says_so(writer):
    with pytest.raises(NotFittedError):
        RNNRBM().generate(2)
    with pytest.raises(NotFittedError):
        RNNRBM().machines(np.eye(46))
    other = clone(writer).set_params(n_recurrent=writer.n_recurrent + 1)
    other.parameters_, other.n_features_in_ = writer.parameters_, 46
    for ask in (lambda: other.generate(2), lambda: other.machines(np.eye(46))):
        with pytest.raises(ValueError, match="the settings are no longer those"):
            ask()


@pytest.mark.slow
def test_it_comes_near_the_known_likelihood_of_the_toy_composer():
    """Twelve hidden units, exact log Z on pieces not learned from: most of the way from lone notes to the truth."""
    composer, rolls = toy_rolls(48)
    train, unseen = rolls[:40], rolls[40:]
    static = {"n_epochs": 40, "k": 5, "persistent": True, "optimizer": "adam", "learning_rate": 0.01, "batch_size": 32}
    model = RNNRBM(n_hidden=12, n_recurrent=30, learning_rate=0.01, n_epochs=60, batch_size=4, k=10,
                   pretraining=static, random_state=0).fit(train)  # fmt: skip
    v, machines = model.all_machines(unseen)
    found = float((-to_numpy(machines.free_energy(v)) - exact_log_partitions(machines)).mean())
    truth = np.mean([composer.log_likelihood(r) for r in unseen]) / 16
    means = (np.concatenate(train).sum(axis=0) + 1) / (sum(map(len, train)) + 2)
    lone = np.concatenate(unseen) @ np.log(means) + (1 - np.concatenate(unseen)) @ np.log(1 - means)
    assert lone.mean() < -9 and -2.5 < truth < -1.8
    assert truth - 4 < found < truth
    assert model.frame_accuracy(unseen, random_state=0) > 0.2  # lone notes drawn by their shares: 0.13


# ------------------------------------------------------------------------------------------------------------ writing


def test_chains_have_the_distribution_of_their_machines():
    """Exact samples stay exact: after three Gibbs steps the shares of all states are within four standard errors."""
    model, n = random_model(n_keys=3, n_hidden=4), 20_000
    machines = model.machines(random_rolls((2,), 3)[0])
    every = np.array(list(product((0, 1), repeat=3)), float)
    b, c = machines.visible_bias[1], machines.hidden_bias[1]
    p = np.exp(-to_numpy(RBM.from_parameters(machines.W, b, c).free_energy(every)))
    p /= p.sum()
    v = to_device(every[np.random.default_rng(0).choice(8, n, p=p)], xp.float64)
    many = StepMachines(machines.W, xp.tile(b, (n, 1)), xp.tile(c, (n, 1)))
    ends = to_numpy(many.gibbs(v, Noise(generator(1)), 3)) @ [4, 2, 1]
    found = np.bincount(ends.astype(int), minlength=8) / n
    assert (np.abs(found - p) < 4 * np.sqrt(p * (1 - p) / n)).all()


def test_a_seed_is_one_stream_of_random_numbers():
    """Were it one for every draw, all would be drawn from the same numbers."""
    model = random_model(n_keys=3, n_hidden=4)
    machines = model.machines(random_rolls((5,), 3)[0])
    v, u = xp.zeros_like(machines.visible_bias), model.silence()
    np.testing.assert_array_equal(
        to_numpy(machines.gibbs(v, 3, 7)), to_numpy(machines.gibbs(v, Noise(generator(3)), 7))
    )
    np.testing.assert_array_equal(to_numpy(model.draw(u, 3)), to_numpy(model.draw(u, Noise(generator(3)))))
    once, again = (RNNRBM.gradients(model.parameters_, v, [5], noise, k=3) for noise in (3, Noise(generator(3))))
    np.testing.assert_array_equal(to_numpy(once[2]), to_numpy(again[2]))


@pytest.fixture(scope="module")
def writer():
    _, rolls = toy_rolls(8, 8)
    return RNNRBM(n_epochs=2, n_hidden=10, n_recurrent=8, batch_size=4, k=1, random_state=0).fit(rolls)


def test_what_is_clamped_stays(writer):
    """A soprano is given: its keys sound, all higher ones are silent, the rest is drawn."""
    clamp = np.full((6, 46), np.nan)
    for t, number in enumerate((72, 74, 76, 74, 72, 71)):
        clamp[t, number - LOWEST :] = 0
        clamp[t, number - LOWEST] = 1
    music = writer.generate(8, clamp=clamp, steps=20, random_state=0)
    assert music.shape == (8, 46) and np.isin(music, (0, 1)).all()
    given = ~np.isnan(clamp)
    np.testing.assert_array_equal(music[:6][given], clamp[given])
    other = writer.generate(8, clamp=clamp, steps=20, random_state=1)
    assert (music[:6][~given] != other[:6][~given]).any()


def test_a_clamp_that_leaves_one_key_draws_it_as_the_conditional_says():
    """All keys but one given: its share of ones is sigma of the difference of two free energies."""
    model = random_model(n_keys=4, n_hidden=3, dtype=np.float32)
    state = np.array([[1, 0, 1, np.nan]])
    zero, one = (np.where(np.isnan(state), x, state) for x in (0, 1))
    machines = model.machines(zero)
    difference = float((machines.free_energy(to_device(zero)) - machines.free_energy(to_device(one)))[0])
    noise = Noise(generator(0))
    drawn = [float(next(model.write(clamp=state, steps=4, anneal=False, random_state=noise))[3]) for _ in range(600)]
    p = 1 / (1 + np.exp(-difference))
    assert abs(np.mean(drawn) - p) < 4 * np.sqrt(p * (1 - p) / 600)


def test_a_beginning_is_repeated_and_remembered(writer):
    _, rolls = toy_rolls(2, 4)
    music = writer.generate(6, prime=rolls[0], steps=10, random_state=0)
    np.testing.assert_array_equal(music[:4], rolls[0])
    again = writer.generate(6, prime=rolls[0], steps=10, random_state=0)
    np.testing.assert_array_equal(music, again)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prime": np.full((2, 46), np.nan)}, "prime: expected zeros and ones, found others"),
        ({"prime": np.full((2, 46), 7)}, "prime: expected zeros and ones, found others"),
        ({"prime": np.zeros((2, 45))}, r"prime: expected shape \(n_steps, 46\), found \(2, 45\)"),
        ({"clamp": np.full((1, 46), 60)}, "clamp: expected zeros and ones, nan where nothing is given, found others"),
        ({"clamp": np.ones((1, 1))}, r"clamp: expected shape \(n_steps, 46\), found \(1, 1\)"),
        ({"steps": -1}, "steps: expected a whole number, at least 1, found -1"),
        ({"n_steps": 0}, "n_steps: expected a whole number, at least 1, found 0"),
        ({"inverse_temperature": np.nan}, "inverse_temperature: expected a finite number from 0, found nan"),
    ],
)
def test_what_cannot_be_written_is_refused(writer, options, message):
    with pytest.raises(ValueError, match=message):
        writer.generate(**{"n_steps": 2, "steps": 2} | options)


@pytest.mark.parametrize("given", [np.full(46, 60), np.ones(45), 1.0])
def test_a_step_takes_only_what_can_be_given(writer, given):
    with pytest.raises(ValueError, match="given: expected "):
        writer.draw(writer.silence(), Noise(generator(0)), given)


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": -1}, {"n_chains": 0}])
def test_accuracy_needs_a_draw(writer, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected a whole number, at least 1"):
        writer.frame_accuracy([np.eye(46)], **options)


def test_accuracy_does_not_depend_on_the_order_of_the_pieces():
    """A machine without a memory that holds on to what it begins with: all keys, or none."""
    n, z = 8, np.zeros
    model = RNNRBM.from_parameters({
        "W": np.full((n, 1), 12.0), "visible_bias": np.full(n, -6.0), "hidden_bias": np.array([-48.0]),
        "W_uv": z((2, n)), "W_uh": z((2, 1)), "W_vu": z((n, 2)), "W_uu": z((2, 2)), "state_bias": z(2),
    })  # fmt: skip
    full, empty = np.ones((1, n)), z((1, n))
    for pieces in ([full], [full, full, empty, empty], [full, empty, full, empty]):
        assert model.frame_accuracy(pieces, random_state=0) < 0.1  # each begins in silence, and stays there


def test_rolls_that_are_made_one_by_one_are_rolls(writer):
    _, rolls = toy_rolls(2, 6)
    found = writer.frame_accuracy((roll for roll in rolls), steps=2, n_chains=1, random_state=0)
    assert found == writer.frame_accuracy(rolls, steps=2, n_chains=1, random_state=0)


def test_silence_that_is_found_silent_is_right():
    model = RNNRBM(n_hidden=2, n_recurrent=2, n_epochs=0).fit([np.zeros((3, 4))])
    model.parameters_["visible_bias"] -= 50
    assert model.frame_accuracy([np.zeros((3, 4))], steps=1, n_chains=1) == 1


def test_annealing_needs_chains_of_the_machines_shape(writer):
    machines = writer.machines(np.eye(46)[:3])
    with pytest.raises(ValueError, match="n_chains: expected a whole number, at least 1, found 0"):
        annealed_log_partitions(machines, n_chains=0)
    with pytest.raises(ValueError, match=r"start: expected shape \(n_chains, 3, 46\), found \(2, 1, 46\)"):
        annealed_log_partitions(machines, start=np.zeros((2, 1, 46)))
    for wrong in (7.0, 0.5, np.nan):
        with pytest.raises(ValueError, match="start: expected zeros and ones"):
            annealed_log_partitions(machines, start=np.full((2, 3, 46), wrong))


def test_cold_chains_keep_to_what_is_likely(writer):
    def energy(beta):
        music = writer.generate(20, steps=40, inverse_temperature=beta, random_state=0)
        return float(writer.machines(music).free_energy(to_device(music)).mean())

    assert energy(4.0) < energy(1.0) - 1


# ----------------------------------------------------------------------------------------------------------- training


def test_parameters_make_a_model(writer):
    model = RNNRBM.from_parameters(writer.parameters_)
    assert (model.n_hidden, model.n_recurrent, model.n_features_in_) == (10, 8, 46)
    music = writer.generate(4, steps=10, random_state=3)
    np.testing.assert_array_equal(model.generate(4, steps=10, random_state=3), music)
    with pytest.raises(ValueError, match="expected W"):
        RNNRBM.from_parameters({})
    with pytest.raises(ValueError, match=r"expected W .* found W \(10,\), state_bias \(8,\)"):
        RNNRBM.from_parameters({"W": np.zeros(10), "state_bias": np.zeros(8)})
    with pytest.raises(ValueError, match="W: expected real numbers, found complex"):
        RNNRBM.from_parameters(writer.parameters_ | {"W": np.zeros((46, 10), complex)})
    with pytest.raises(ValueError, match="expected arrays of the shapes"):
        RNNRBM.from_parameters(writer.parameters_ | {"W_uu": np.zeros((2, 2))})


def test_saved_and_loaded_it_is_the_same(tmp_path, writer):
    save_model(tmp_path / "music.npz", writer)
    loaded = load_model(tmp_path / "music.npz", RNNRBM)
    music = writer.generate(4, steps=10, random_state=3)
    np.testing.assert_array_equal(loaded.generate(4, steps=10, random_state=3), music)


def test_transposing_moves_all_notes_that_have_room():
    rows = np.zeros((3, 6), np.float32)
    rows[0, 1], rows[1, 4], rows[2, 5] = 1, 1, 1
    assert [row.argmax() for row in _shifted(rows, 1)] == [2, 5]
    assert [row.argmax() for row in _shifted(rows, -1)] == [0, 3, 4]
    assert _shifted(rows, 0) is rows


@pytest.mark.parametrize(
    ("rolls", "message"),
    [
        (np.zeros((3, 5), np.float32), "expected a list of rolls"),
        (Chorale("one", np.zeros((3, 4), int), 0), "expected a list of rolls .* found a Chorale: take its .roll"),
        ([], "expected at least one roll"),
        ([np.zeros((3, 5)), np.zeros((3, 4))], r"roll 1: expected shape \(n_steps, 5\), found \(3, 4\)"),
        ([np.zeros((0, 5))], "roll 0: expected at least one step"),
        ([np.full((3, 5), 0.5)], "roll 0: expected zeros and ones"),
        ([np.full((3, 5), np.nan)], "roll 0: expected zeros and ones"),
    ],
)
def test_what_is_no_list_of_rolls_is_named(rolls, message):
    with pytest.raises(ValueError, match=message):
        RNNRBM(**SMALL).fit(rolls)


@pytest.mark.parametrize("setting", [
    {"transpose": -1}, {"n_recurrent": 0}, {"dropout": 1.0}, {"pretraining": 3},
    *({"pretraining": options} for options in ({"visible": "gaussian"}, {"n_hidden": 4}, {"no_such": 1}))
])  # fmt: skip
def test_settings_are_checked(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        RNNRBM(**SMALL | setting).fit(random_rolls())


def test_steps_are_drawn_each_by_itself():
    """Of two chains with equal weights, for 40 steps."""
    found = StepPartitions(np.zeros((40, 2)), np.arange(80, dtype=np.float32).reshape(2, 40, 1))
    assert 0 < (found.resampled(np.random.default_rng(0))[0, :, 0] >= 40).mean() < 1


def test_accuracy_by_hand():
    """Notes drawn and heard: one of three."""
    z = np.zeros
    model = RNNRBM.from_parameters({
        "W": z((4, 1)), "visible_bias": 50 * np.array([-1.0, 1, 1, -1]), "hidden_bias": z(1), "W_uv": z((1, 4)),
        "W_uh": z((1, 1)), "W_vu": z((4, 1)), "W_uu": z((1, 1)), "state_bias": z(1),
    })  # fmt: skip
    assert model.frame_accuracy([np.array([[1, 1, 0, 0]])], steps=1, n_chains=2) == pytest.approx(1 / 3)


def test_decay_makes_weights_smaller():
    pieces = [(np.random.default_rng(i).random((12, 6)) < 0.4).astype(float) for i in range(4)]
    settings = {"n_hidden": 4, "n_recurrent": 3, "n_epochs": 3, "batch_size": 2, "k": 1, "random_state": 0}
    free, held = (RNNRBM(weight_decay=d, **settings).fit(pieces).parameters_["W_vu"] for d in (0.0, 100.0))
    assert abs(held).sum() < abs(free).sum()


def test_it_learns_by_adam():
    assert isinstance(RNNRBM()._optimizer(1), Adam)


def test_an_interrupt_does_not_end_the_writing(monkeypatch):
    """The step is drawn again; and what was handed out may be changed."""
    model = RNNRBM(n_hidden=3, n_recurrent=2, n_epochs=1, k=1, random_state=0).fit([np.eye(5)])
    prime, draw = np.ones((1, 5), np.float32), RNNRBM.draw
    writer = model.write(prime=prime, steps=2, random_state=0)
    next(writer)[...] = 0
    assert prime.all()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(RNNRBM, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(writer)
    monkeypatch.setattr(RNNRBM, "draw", draw)
    expected = model.write(prime=prime, steps=2, random_state=0)
    next(expected)
    for _ in range(3):
        np.testing.assert_array_equal(to_numpy(next(writer)), to_numpy(next(expected)))


@pytest.mark.parametrize("given", ["prime", "clamp"])
def test_what_is_written_keeps_to_the_notes_as_they_were_given(given):
    model = RNNRBM(n_hidden=3, n_recurrent=2, n_epochs=1, k=1, random_state=0).fit([np.eye(5)])
    notes = to_device(np.ones((4, 5), np.float32))
    writer = model.write(**{given: notes}, random_state=0)
    notes[...] = 0
    assert (to_numpy(next(writer)) == 1).all()


def test_without_a_seed_it_goes_on_where_its_pretraining_ended(tmp_path, every_epoch):
    """Nobody asked for these random numbers and no others."""
    settings = {"n_hidden": 3, "n_recurrent": 2, "n_epochs": 4, "k": 1, "pretraining": {"n_epochs": 2}}

    def stop(model):
        if model.history_.epoch == 2:
            raise KeyboardInterrupt

    RNNRBM(**settings).fit([np.eye(5)], watch=stop, checkpoint=tmp_path / "run.npz")
    model = RNNRBM(**settings).fit([np.eye(5)], checkpoint=tmp_path / "run.npz")
    assert model.history_.stopped == "epochs" and len(model.history_.updates) == 4


def test_dates_are_no_notes():
    with pytest.raises(ValueError, match="expected real numbers, found datetime64"):
        RNNRBM(n_hidden=2, n_epochs=1).fit([np.eye(4).astype(int).astype("M8[Y]")])


def test_a_drawing_that_makes_no_sense_is_refused():
    model = RNNRBM(n_hidden=3, n_recurrent=2, n_epochs=1, k=1, random_state=0).fit([np.eye(5)])
    for options in ({"inverse_temperature": np.nan}, {"inverse_temperature": -1.0}, {"steps": -3}):
        with pytest.raises(ValueError, match="expected"):
            model.draw(model.silence(), 0, **options)
    with pytest.raises(ValueError, match="seed|random"):
        model.write(random_state="x")
