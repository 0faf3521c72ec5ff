"""The denoising panel without a kernel: what it shows is what the model does, step by step."""

import copy

import numpy as np
import pytest

from companion.autoencoder import DenoisingAutoencoder
from companion.backend import generator, to_numpy
from companion.widgets import Denoising


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    W, b, c = rng.normal(0, 0.3, (784, 9)), rng.normal(size=784), rng.normal(size=9)
    parameters = (array.astype(np.float32) for array in (W, b, c))
    return DenoisingAutoencoder.from_parameters(*parameters, corruption="salt_and_pepper", corruption_level=0.4)


@pytest.fixture
def panel(model, images):
    panel = Denoising(model, images, seed=3)
    yield panel
    panel.close()


def test_the_level_is_that_of_the_model_however_high(model, images):
    panel = Denoising(copy.deepcopy(model).set_params(corruption_level=0.95), images)
    assert panel.level.value == 0.95
    panel.close()


def test_what_is_darker_than_black_is_black(images):
    """A linear decoder leaves 0 … 1."""
    rng = np.random.default_rng(0)
    linear = DenoisingAutoencoder.from_parameters(
        rng.normal(size=(784, 9)).astype(np.float32), np.zeros(784), np.zeros(9), loss="squared",
        activation="identity",
    )  # fmt: skip
    panel = Denoising(linear, images)
    restored = panel.restored.reshape(28, 28)
    assert restored.min() < -0.1 and restored.max() > 1.1
    for pixels in (panel.result.pixels, panel.strip.pixels[:28, :28]):
        assert not pixels[restored < 0].any() and (pixels[restored > 1] == 255).all()
    panel.close()


def walk(model, image, steps, rng, again):
    """Corrupt and restore `image` (784,) by the model's own methods."""
    start = image
    for _ in range(steps):
        corrupted = to_numpy(model.corrupt(image[None], rng))[0]
        restored = to_numpy(model.reconstruct(corrupted[None]))[0]
        image = restored if again else start
    return corrupted, restored


@pytest.mark.parametrize("source", ["clean image", "restored image"])
def test_steps_are_those_of_the_model(panel, model, images, source):
    panel.source.value = source
    panel.number.value = 2
    for _ in range(3):
        panel.step()
    corrupted, restored = walk(model, images[2], 4, generator(3), source == "restored image")
    np.testing.assert_array_equal(panel.corrupted, corrupted)
    np.testing.assert_array_equal(panel.restored, restored)
    assert panel.steps == 4
    for canvas, image in ((panel.pad, images[2]), (panel.noisy, corrupted), (panel.result, restored)):
        np.testing.assert_array_equal(canvas.pixels[..., 0], np.uint8(255 * image.reshape(28, 28)))


def test_kind_and_level_are_the_panel_s_and_the_model_keeps_its_own(panel, model):
    panel.take(np.full(784, 0.5))
    panel.kind.value = "masking"
    for level in (0, 0.2, 0.7):
        panel.level.value = level
        assert set(np.unique(panel.corrupted)) <= {0, np.float32(0.5)}
        assert abs((panel.corrupted == 0).mean() - level) < 0.06
    panel.kind.value = "salt and pepper"
    assert abs((panel.corrupted == 0).mean() - 0.35) < 0.06 and abs((panel.corrupted == 1).mean() - 0.35) < 0.06
    assert (model.corruption, model.corruption_level) == ("salt_and_pepper", 0.4)


def test_one_seed_is_one_corruption(panel, frames):
    def play():
        panel.source.value = "restored image"
        panel.number.value = 1
        panel.again.click()
        for _ in range(3):
            panel.one.click()
        panel.corrupt([(9, 9, False)])
        panel.level.value = 0.3
        panel.step()
        pictures = frames(panel)
        panel.level.value = 0.4
        return pictures

    first = play()
    for now, before in zip(play(), first):
        np.testing.assert_array_equal(now, before)
    panel.seed.value = 4
    assert any((now != before).any() for now, before in zip(play(), first))


def test_a_drawing_is_a_clean_image(panel, model, images):
    panel.empty.click()
    assert not panel.clean.any()
    panel.paint([(5, column, False) for column in range(3, 20)])
    expected = np.zeros((28, 28), np.float32)
    expected[5:7, 3:21] = 1
    panel.paint([(27, 27, False), (5, 3, True)])  # at the corner, and erased
    expected[27, 27] = 1
    expected[5:7, 3:5] = 0
    np.testing.assert_array_equal(panel.clean, expected.ravel())
    np.testing.assert_array_equal(panel.restored, walk(model, expected.ravel(), 1, generator(3), False)[1])
    panel.number.value = 1
    panel.paint([(5, 5, False)])
    panel.number.value = 0
    panel.number.value = 1
    np.testing.assert_array_equal(panel.clean, images[1], "the images given are left as they are")


def test_painting_on_the_corrupted_image_restores_it_and_draws_nothing_new(panel, model):
    before = panel.corrupted.reshape(28, 28).copy()
    panel.corrupt([(10, 4, False), (20, 4, True)])
    before[10:12, 4:6], before[20:22, 4:6] = 1, 0
    np.testing.assert_array_equal(panel.corrupted, before.ravel())
    np.testing.assert_array_equal(panel.restored, to_numpy(model.reconstruct(before.reshape(1, 784)))[0])
    assert panel.steps == len(panel.past) == 1
    np.testing.assert_array_equal(panel.past[-1], panel.restored)


def test_signal_to_noise_ratios(panel):
    panel.take(np.zeros(784))
    assert panel.psnr(np.full(784, 0.1)) == pytest.approx(20)
    assert panel.psnr(np.zeros(784)) == np.inf
    assert f"{panel.psnr(panel.corrupted):.1f} dB" in panel.noisy.caption
    assert f"{panel.psnr(panel.restored):.1f} dB" in panel.result.caption


def test_the_strip_keeps_the_last_steps_newest_last(panel):
    restored = [panel.restored]
    for _ in range(15):
        panel.step()
        restored.append(panel.restored)
    np.testing.assert_array_equal(panel.past, restored[-12:])
    panel.reset()
    assert panel.steps == len(panel.past) == 1
