"""Panels without a kernel: they show what the model computes, and do what their controls say."""

import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from companion.backend import generator, to_device, to_numpy
from companion.data import load_mnist, plane_points
from companion.dbn import DBN
from companion.logistic import LogisticRegression
from companion.mlp import MLP
from companion.rbm import RBM
from companion.widgets import (
    Adversary,
    Annealing,
    Contributions,
    Dreams,
    EpochScrubber,
    FilterSlider,
    GibbsLab,
    Playground,
    Sandwich,
    Stack,
    Tempering,
)
from companion.widgets.canvas import Canvas


@pytest.fixture(scope="module")
def digits():
    return load_mnist(verbose=False)


@pytest.fixture(scope="module")
def model(digits):
    return LogisticRegression(n_epochs=20, random_state=0).fit(*digits.train)


@pytest.fixture
def panel(model, digits):
    return Contributions(model, *digits.valid, seed=3)


def test_canvas_sends_pixels_and_number_in_one_message():
    canvas, sent = Canvas(), []
    canvas.send_state = lambda key=None: sent.append(set(key))
    canvas.draw(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert sent == [{"height", "width", "frame", "number"}]
    assert zlib.decompress(canvas.frame) == bytes(range(6)) and (canvas.height, canvas.width) == (2, 3)
    assert canvas.number == 1


def test_canvas_hands_strokes_to_its_painters():
    canvas, seen = Canvas(paintable=True), []
    canvas.on_paint(seen.append)
    canvas._receive(canvas, {"painted": [[1, 2, False], [3, 4, True]]}, [])
    canvas._receive(canvas, {"something": "else"}, [])
    assert seen == [[(1, 2, False), (3, 4, True)]]


def test_contributions_and_bias_are_the_score_and_probabilities_those_of_the_model(panel, model, digits):
    panel.pick.value = 17
    contributions, scores, probabilities = panel.evaluate()
    x = digits.valid.images[17]
    np.testing.assert_array_equal(panel.x, x)
    np.testing.assert_allclose(scores, x @ to_numpy(model.W_) + to_numpy(model.b_), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(contributions.sum(axis=0) + to_numpy(model.b_), scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(probabilities, model.predict_proba(x[None])[0], rtol=1e-4, atol=1e-6)


def test_strength_goes_from_ignorance_to_certainty(panel):
    panel.strength.value = 0
    np.testing.assert_allclose(panel.evaluate()[2], 0.1, rtol=1e-6)
    certainty = []
    for panel.strength.value in (0.5, 1, 3):
        certainty.append(panel.evaluate()[2].max())
    assert certainty == sorted(certainty) and certainty[0] < certainty[-1]


def test_paint_changes_the_neighbourhood_and_erasing_takes_it_back(panel):
    panel.clear.click()
    assert not panel.x.any() and not panel.pad.pixels.any()
    before = panel.view.number
    panel.pad._receive(panel.pad, {"painted": [[10, 12, False]]}, [])
    changed = np.argwhere(panel.x.reshape(28, 28))
    assert panel.x.reshape(28, 28)[10, 12] == 1 and np.abs(changed - (10, 12)).max() <= 1
    assert 0 < panel.x.reshape(28, 28)[9, 11] < 1, "grey at the edges, as MNIST is"
    assert panel.view.number == before + 1 and panel.pad.pixels[10, 12, 0] == 255
    panel.pad._receive(panel.pad, {"painted": [[10, 12, True]]}, [])
    assert panel.x.max() < 0.6 and panel.x.reshape(28, 28)[10, 12] == 0


def test_paint_at_the_border_stays_on_the_pad(panel):
    panel.clear.click()
    panel.paint([(0, 0, False), (27, 27, False), (0, 27, False)])
    inked = np.argwhere(panel.x.reshape(28, 28))
    assert {tuple(corner) for corner in inked} >= {(0, 0), (27, 27), (0, 27)}
    assert all(min(r, 27 - r) <= 1 and min(c, 27 - c) <= 1 for r, c in inked)


def test_the_digits_of_the_book_are_not_painted_on(panel, digits):
    before = digits.valid.images[5].copy()
    panel.pick.value = 5
    panel.paint([(r, 14, False) for r in range(28)])
    np.testing.assert_array_equal(digits.valid.images[5], before)


def test_the_same_seed_picks_the_same_digits(model, digits):
    picked = []
    for seed in (7, 7, 8):
        panel = Contributions(model, *digits.valid, seed=seed)
        numbers = []
        for _ in range(5):
            panel.random.click()
            numbers.append(panel.pick.value)
            np.testing.assert_array_equal(panel.x, digits.valid.images[panel.pick.value])
        picked.append(numbers)
    assert picked[0] == picked[1] != picked[2]


def test_the_most_probable_class_is_framed(panel):
    panel.pick.value = 3
    k = int(panel.evaluate()[2].argmax())
    corners = [panel.view.pixels[2 + (i // 5) * 156, 2 + (i % 5) * 98] for i in range(10)]
    assert [i for i, corner in enumerate(corners) if not corner.any()] == [k]


@pytest.fixture
def playground():
    panel = Playground(seed=1)
    yield panel
    panel.close()


def test_playground_is_the_network_of_the_book(playground):
    """Its steps are gradient descent on the points it shows, with the companion's own model."""
    playground.rate.value = 0.5
    for _ in range(20):
        playground.step()
    assert len(playground.losses) == 200 and playground.losses[0] == pytest.approx(np.log(2), abs=1e-6)
    assert playground.losses[-1] < 0.8 * playground.losses[0]
    model = MLP(hidden_sizes=(4,), activation="tanh", learning_rate=0.5, batch_size=300, n_epochs=200, l2=0.0)
    start = generator(1)
    plane_points("circles", 300, start)  # the panel draws its points first, then its weights
    model.set_params(random_state=start).fit(playground.points, playground.labels)
    for name, array in model.parameters_.items():
        np.testing.assert_allclose(to_numpy(playground.parameters[name]), to_numpy(array), atol=1e-3)


def test_what_is_said_of_loss_and_errors_is_of_the_same_weights(playground):
    """At a rate at which an update changes both by much."""
    playground.first.value = playground.second.value = 16
    playground.activation.value, playground.rate.value = "relu", 10**1.5
    for _ in range(30):
        playground.step()
        scores = playground.network.predict(playground.X)
        nll = float(playground.loss.forward(scores.copy(), playground.targets))
        wrong = float((scores.argmax(axis=1) != playground.targets).mean())
        assert f" {nll:.3f} nats · {wrong:.1%} of the points" in playground.plane.caption or not np.isfinite(nll)


def test_playground_with_one_seed_is_one_training():
    frames = []
    for seed in (4, 4, 5):
        panel = Playground(seed=seed)
        panel.one.click()
        frames.append(panel.plane.pixels)
    np.testing.assert_array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


@pytest.mark.parametrize(
    ("control", "value"), [("kind", "spirals"), ("first", 7), ("second", 3), ("activation", "relu"), ("seed", 9)]
)
def test_playground_starts_anew_when_the_problem_changes(playground, control, value):
    playground.step()
    getattr(playground, control).value = value
    assert playground.losses == []
    sizes = [playground.parameters[name].shape for name in ("W1", "W2")]
    assert sizes[0] == (2, playground.first.value) and sizes[1][0] == playground.first.value


def test_the_rate_changes_under_way(playground):
    playground.step()
    playground.rate.value = 0.01
    assert len(playground.losses) == 10 and playground.optimizer.learning_rate == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda images, rbm: GibbsLab(rbm, images), "rbm: expected a model of 784 pixels, 28 × 28, found one of 64"),
        (lambda images, rbm: Tempering(rbm), "rbm: expected a model of 784 pixels"),
        (lambda images, rbm: Annealing(rbm), "rbm: expected a model of 784 pixels"),
        (lambda images, rbm: FilterSlider(images[:, :64]), r"images: expected .* \(n, 784\).*found \(5, 64\)"),
        (lambda images, rbm: FilterSlider(255 * images), "images: expected pixels from 0 to 1, found 0 to 255"),
        (lambda images, rbm: FilterSlider(images.astype(str)), "images: expected real numbers, found <U"),
        (lambda images, rbm: FilterSlider(images, np.ones((2, 3, 3))), r"filters: .*\(n, 5, 5\), found \(2, 3, 3\)"),
        (lambda images, rbm: FilterSlider(images, np.ones((2, 1, 5, 5))), r"filters: expected .*found \(2, 1, 5, 5\)"),
        (lambda images, rbm: Stack(rbm, images), r"dbn: expected a fitted DBN, found RBM\("),
        (lambda images, rbm: Stack(DBN(), images), r"dbn: expected a fitted DBN, found DBN\("),
        (lambda images, rbm: Dreams(rbm), r"dbn: expected a fitted DBN, found RBM\("),
        (
            lambda images, rbm: Dreams(DBN(hidden_sizes=(2,), pretraining={"n_epochs": 0}).pretrain(images)),
            "dbn: expected a network that was pretrained with labels",
        ),
        (lambda images, rbm: Sandwich(rbm, images), r"samples: expected an array of shape \(n, 64\).*found \(5, 784\)"),
        (lambda images, rbm: Adversary({}, images, np.arange(5)), "networks: expected at least one"),
        (
            lambda images, rbm: Adversary(
                {"m": MLP(batch_norm=True, n_epochs=0).fit(images, range(5))}, images, range(5)
            ),
            "networks: expected them without batch normalisation, found it in m",
        ),
        (
            lambda images, rbm: Contributions(MLP(n_epochs=0).fit(images, range(5)), images, range(5)),
            "a fitted Logistic",
        ),
        (
            lambda images, rbm: Contributions(
                LogisticRegression(n_epochs=0).fit(images[[0] * 11], range(11)), images, range(5)
            ),
            "model: expected at most ten classes, found 11",
        ),
        (
            lambda images, rbm: EpochScrubber(
                {3: dict(W=np.full((784, 2), np.nan), visible_bias=np.zeros(784), hidden_bias=np.zeros(2))}
            ),
            "epoch 3: expected finite arrays",
        ),
        (
            lambda images, rbm: EpochScrubber({3: {"W": np.zeros((784, 2))}}),
            "epoch 3: expected finite arrays W, hidden",
        ),
    ],
)
def test_models_and_images_of_another_size_are_refused(make, says):
    """Before there is a panel that breaks at its first step."""
    rbm = RBM.from_parameters(np.zeros((64, 5), np.float32), np.zeros(64), np.zeros(5))
    with pytest.raises(ValueError, match=says):
        make(np.eye(784, dtype=np.float32)[:5], rbm)


def test_images_may_be_a_table_or_a_list_of_lists():
    rng = np.random.default_rng(0)
    rbm, images = RBM.from_parameters(rng.normal(size=(784, 3)), np.zeros(784), np.zeros(3)), np.eye(784)[:20]
    expected = Sandwich(rbm, images).picture()
    for samples in (images.tolist(), pd.DataFrame(images)):
        assert Sandwich(rbm, samples).picture() == expected
    assert FilterSlider(pd.DataFrame(images)).picture() == FilterSlider(images).picture()


def test_labels_are_found_by_their_places(model, digits):
    images, labels = digits.valid.images[:12], digits.valid.labels[:12]
    panel = Contributions(model, images, pd.Series(labels, index=np.arange(12)[::-1]))
    for number, label in enumerate(labels):
        panel.show(number)
        assert f"label: {label}" in panel.pad.caption
    for wrong in (labels[:3], labels[:, None]):
        with pytest.raises(ValueError, match="labels: expected shape"):
            Contributions(model, images, wrong)


def test_the_plane_is_drawn_upright(playground):
    """One unit that is on above y = 0.5: red, class 1, above its line."""
    playground.first.value = 1
    W1, b1, W2, b2 = (playground.parameters[name] for name in ("W1", "b1", "W2", "b2"))
    W1[:], b1[:], W2[:], b2[:] = to_device(np.array([[0.0], [4.0]])), -2, to_device(np.array([[-4.0, 4.0]])), 0
    playground.refresh()
    above, below = playground.plane.pixels[[5, 435], 5].astype(int)
    assert above[0] > above[2] and below[0] < below[2]
    line = (playground.plane.pixels == 0x55).all(axis=2).any(axis=1)
    assert line[120:136].any() and not line[300:320].any()


def test_a_training_that_diverges_rests(playground, monkeypatch):
    paused = []
    monkeypatch.setattr(playground, "pause", lambda: paused.append(True))
    playground.parameters["W1"][:] = np.nan
    playground.step()
    assert paused


def test_the_same_digit_at_random_is_shown_anew(panel, digits):
    panel.clear.click()
    panel.rng = SimpleNamespace(integers=lambda n: panel.pick.value)
    panel.random.click()
    np.testing.assert_array_equal(panel.x, digits.valid.images[panel.pick.value])


def test_an_eraser_is_soft_at_its_edges(panel):
    panel.clear.click()
    panel.paint([(10, 12, False), (11, 13, True)])
    assert 0.4 < panel.x.reshape(28, 28)[10, 12] < 0.6 and panel.x.reshape(28, 28)[11, 13] == 0
