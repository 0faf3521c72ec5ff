"""The adversary's panel without a kernel: steps go where the gradient says, and all networks read what came of it."""

import numpy as np
import pytest

from companion.backend import generator
from companion.dbn import DBN
from companion.mlp import MLP
from companion.widgets import Adversary
from companion.widgets.adversary import STEP


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return (rng.random((200, 784)) * (rng.random((200, 784)) < 0.3)).astype(np.float32)


@pytest.fixture(scope="module")
def networks(images):
    labels = np.arange(200) % 10
    settings = {"hidden_sizes": (20,), "n_epochs": 40, "learning_rate": 0.1}
    return {name: MLP(**settings, random_state=seed).fit(images, labels) for seed, name in enumerate(("one", "two"))}


@pytest.fixture
def panel(networks, images):
    panel = Adversary(networks, images, np.arange(200) % 10, seed=3)
    yield panel
    panel.close()


def loss(network, image, label):
    return network.negative_log_likelihood(image[None], [label])


def along(image, direction):
    return (image + STEP * direction / np.linalg.norm(direction)).clip(0, 1)


@pytest.mark.parametrize("name", ["one", "two"])
def test_steps_go_up_the_loss_of_the_network_they_are_aimed_at(panel, networks, images, name):
    panel.number.value = 14
    panel.aim.value = name
    expected, losses = images[14], [loss(networks[name], images[14], 4)]
    for steps in (1, 2, 3):
        panel.one.click()
        expected = along(expected, networks[name].input_gradient(expected[None], [4])[0])
        np.testing.assert_allclose(panel.image, expected, atol=1e-6)
        losses.append(loss(networks[name], panel.image, 4))
        assert panel.steps == steps and STEP / 3 < panel.distance <= steps * STEP + 1e-6
    assert (np.diff(losses) > 0).all()
    assert panel.image.min() == 0 and panel.image.max() <= 1
    np.testing.assert_array_equal(panel.digit, images[14])


def test_a_goal_is_approached(panel, networks):
    assert panel.goal.label == "anything else"
    panel.goal.value = 8
    losses = [loss(networks["one"], panel.image, 8)]
    for _ in range(6):
        panel.step()
        losses.append(loss(networks["one"], panel.image, 8))
    assert (np.diff(losses) < 0).all()


def test_at_random_no_network_is_asked_and_a_seed_gives_the_same_move(panel, images):
    def move():
        panel.again.click()
        panel.step()
        panel.step()
        return panel.image.copy()

    panel.aim.label = "at random"
    first = move()
    direction = generator(3).standard_normal(784, np.float32)
    np.testing.assert_allclose(first, along(along(images[0], direction), direction), atol=1e-6)
    np.testing.assert_array_equal(move(), first)
    panel.seed.value = 4
    assert (move() != first).any()


def test_what_is_shown_is_what_has_happened(panel, networks):
    panel.number.value = 3
    for _ in range(40):
        panel.step()
    expected = {"pad": panel.digit, "result": panel.image}
    for name, image in expected.items():
        np.testing.assert_array_equal(getattr(panel, name).pixels[..., 0], np.uint8(255 * image.reshape(28, 28)))
    change = (panel.image - panel.digit).reshape(28, 28)
    red, blue = panel.change.pixels[..., 0].astype(int), panel.change.pixels[..., 2].astype(int)
    assert (red > blue)[change > 0.05].all() and (red < blue)[change < -0.05].all()
    assert f"{np.linalg.norm(change):.2f}" in panel.change.caption and "label 3" in panel.pad.caption
    orange, blue = (213, 94, 0), (0, 114, 178)
    for name, network in networks.items():
        colors = {tuple(color) for color in panel.bars[name].pixels.reshape(-1, 3)}
        read = network.predict(panel.image[None])[0]
        assert (orange in colors) == (read != 3) and (blue in colors) == (read == 3)
    assert networks["one"].predict(panel.image[None])[0] != 3, "forty steps mislead any such network"


@pytest.mark.parametrize("classes", [[3, 15, 20], ["boat", "cat", "dog"]])
def test_labels_are_those_of_the_networks(images, classes):
    """A label above 9 was shown, and attacked, as 9."""
    labels = np.array(classes)[np.arange(200) % 3]
    network = MLP(hidden_sizes=(20,), n_epochs=20, learning_rate=0.1, random_state=0).fit(images, labels)
    panel = Adversary({"one": network}, images, labels)
    panel.number.value = 4
    assert panel.label.value == classes[1] and panel.pad.caption == f"digit · label {classes[1]}"
    panel.step()
    expected = along(images[4], network.input_gradient(images[4][None], [classes[1]])[0])
    np.testing.assert_allclose(panel.image, expected, atol=1e-6)
    assert [value for _, value in panel.goal.options] == ["any", *classes]
    panel.close()


def test_labels_and_classes_that_do_not_fit_are_refused(networks, images):
    labels = np.arange(200) % 10
    with pytest.raises(ValueError, match=r"labels: expected 200 of the classes \[0, .*found 200 of \[0, 15\]"):
        Adversary(networks, images, 15 * (labels == 3))
    with pytest.raises(ValueError, match="labels: expected 200 of the classes .*found 7 of"):
        Adversary(networks, images, labels[:7])
    with pytest.raises(ValueError, match="networks: expected them to have learned labels, found that dbn has not"):
        Adversary({"dbn": DBN(hidden_sizes=(5,), pretraining={"n_epochs": 1}).pretrain(images)}, images, labels)
    other = MLP(hidden_sizes=(2,), n_epochs=1).fit(images, labels % 2)
    with pytest.raises(ValueError, match="the same classes in all, found .*'other'"):
        Adversary(networks | {"other": other}, images, labels)


def test_a_drawing_has_the_label_that_it_is_given(panel, images):
    panel.empty.click()
    assert not panel.digit.any() and panel.steps == 0
    panel.paint([(5, column, False) for column in range(3, 20)] + [(27, 27, False), (5, 3, True)])
    expected = np.zeros((28, 28), np.float32)
    expected[5:7, 5:21] = expected[27, 27] = 1
    np.testing.assert_array_equal(panel.digit, expected.ravel())
    panel.step()
    panel.label.value = 6
    assert panel.steps == 0 and panel.distance == 0
    np.testing.assert_array_equal(panel.image, panel.digit)
    panel.number.value = 17
    assert panel.label.value == 7
    panel.paint([(5, 5, False)])
    panel.number.value = 0
    panel.number.value = 17
    np.testing.assert_array_equal(panel.digit, images[17], "the images given are left as they are")
