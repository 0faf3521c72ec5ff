"""Convolution and pooling against loops over every number, central differences, and what shifts and ties demand."""

import itertools

import numpy as np
import pytest

from companion.backend import to_device, to_numpy
from companion.image_layers import Conv2D, Flatten, Images, MaxPool2D
from companion.layers import Network, Sigmoid, Tanh

# images (channels, height, width), filters (filters, channels, height, width)
SIZES = [
    ((1, 4, 4), (2, 1, 3, 3)),
    ((3, 5, 4), (2, 3, 2, 3)),
    ((2, 3, 6), (4, 2, 3, 1)),
    ((2, 3, 2), (3, 2, 3, 2)),  # one window only
    ((3, 2, 2), (2, 3, 1, 1)),
]


def six_loops(x, W, b):
    """Convolution as its formula has it: for every filter, at every place, over every channel and pixel of a window."""
    n_filters, n_channels, height, width = W.shape
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    scores = np.zeros((n_filters, rows, columns, x.shape[3]))
    for o in range(n_filters):
        for y in range(rows):
            for z in range(columns):
                scores[o, y, z] = b[o]
                for c in range(n_channels):
                    for i in range(height):
                        for j in range(width):
                            scores[o, y, z] += W[o, c, i, j] * x[c, y + i, z + j]
    return scores


def pooled(x, size, border):
    """The maximum of every window, one at a time."""
    ends = [range(0, side, size) if border else range(0, side - size + 1, size) for side in x.shape[1:3]]
    windows = [[x[:, y : y + size, z : z + size].max(axis=(1, 2)) for z in ends[1]] for y in ends[0]]
    return np.array(windows).transpose(2, 0, 1, 3)


def distinct(rng, *shape):
    """Numbers that differ by so much that no small step makes another one the largest."""
    return to_device(rng.permutation(np.prod(shape)).reshape(shape) / 10)


def normal(rng, *shapes):
    return [to_device(rng.normal(size=shape)) for shape in shapes]


# ------------------------------------------------------------------------------------------------- convolution


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize(("image", "filters"), SIZES)
def test_convolution_is_what_the_six_loops_give(rng, image, filters, n):
    x, W, b = rng.normal(size=(*image, n)), rng.normal(size=filters), rng.normal(size=filters[0])
    there = to_device(x)
    scores = to_numpy(Conv2D(to_device(W), to_device(b)).forward(there))
    np.testing.assert_allclose(scores, six_loops(x, W, b), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(to_numpy(there), x)


def test_convolution_by_hand():
    x = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).reshape(1, 3, 3, 1)
    W, b = np.array([[1.0, 0], [0, -10]]).reshape(1, 1, 2, 2), np.array([0.5])
    scores = to_numpy(Conv2D(to_device(W), to_device(b)).forward(to_device(x)))
    assert scores[0, :, :, 0].tolist() == [[1.5 - 50, 2.5 - 60], [4.5 - 80, 5.5 - 90]]


@pytest.mark.parametrize("name", ["W", "b", "x"])
@pytest.mark.parametrize(("image", "filters"), SIZES)
def test_gradients_of_convolution(rng, central_differences, image, filters, name):
    """Of sum(c * scores²) for random c, so that every score counts differently."""
    x, W, b = normal(rng, (*image, 3), filters, filters[0])
    layer = Conv2D(W, b)
    (c,) = normal(rng, layer.forward(x).shape)
    array = {"W": W, "b": b, "x": x}[name]
    expected = central_differences(lambda: (c * layer.forward(x) ** 2).sum(), array)
    dx = layer.backward(2 * c * layer.forward(x))
    found = {"W": layer.dW, "b": layer.db, "x": dx}[name]
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-7, atol=1e-7)


def test_the_first_layer_computes_no_gradient_of_the_pixels(rng):
    x, W, b, delta = normal(rng, (2, 5, 5, 3), (4, 2, 2, 2), 4, (4, 4, 4, 3))
    layer, other = Conv2D(W, b), Conv2D(W, b)
    for one in (layer, other):
        one.forward(x)
    assert layer.backward(delta, need_dx=False) is None
    assert other.backward(delta).shape == x.shape
    np.testing.assert_array_equal(to_numpy(layer.dW), to_numpy(other.dW))
    np.testing.assert_array_equal(to_numpy(layer.db), to_numpy(other.db))


def test_what_is_shifted_gives_shifted_scores(rng):
    """The same filters everywhere: an image moved by two lines and a column moves its scores by as much."""
    x, W, b = normal(rng, (2, 9, 8, 3), (4, 2, 3, 3), 4)
    moved = to_device(np.roll(to_numpy(x), (2, 1), axis=(1, 2)))
    scores, after = (to_numpy(Conv2D(W, b).forward(images)) for images in (x, moved))
    np.testing.assert_allclose(after[:, 2:, 1:], scores[:, :-2, :-1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_buffers_of_other_images_leave_no_trace(rng, dtype):
    """More, fewer and other images through one layer of each kind give what new layers give; types stay."""
    W, b = (array.astype(dtype) for array in normal(rng, (4, 2, 3, 2), 4))
    kept = [Conv2D(W, b), MaxPool2D(2, border=True), MaxPool2D(2), Flatten()]
    for shape in [(9, 8, 5), (9, 8, 2), (9, 8, 5), (7, 8, 5), (6, 11, 1), (9, 8, 7)]:
        (x,) = (array.astype(dtype) for array in normal(rng, (2, *shape)))
        new = [Conv2D(W, b), MaxPool2D(2, border=True), MaxPool2D(2), Flatten()]
        results = []
        for network in (Network(kept), Network(new)):
            output = network.forward(x)
            delta = to_device(np.linspace(-1, 2, output.size, dtype=dtype).reshape(output.shape))
            copies = [to_numpy(output).copy()]
            for layer in reversed(network.layers):
                delta = layer.backward(delta)
                copies.append(to_numpy(delta).copy())
            results.append([*copies, *(to_numpy(array).copy() for array in network.gradients)])
        for one, other in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == dtype


def test_float32_agrees_with_float64(rng):
    arrays = normal(rng, (20, 12, 12, 30), (10, 20, 5, 5), 10, (10, 8, 8, 30))
    found = []
    for dtype in (np.float32, np.float64):
        x, W, b, delta = (array.astype(dtype) for array in arrays)
        layer = Conv2D(W, b)
        found.append([to_numpy(layer.forward(x)), to_numpy(layer.backward(delta)), *map(to_numpy, layer.gradients)])
    for single, double in zip(*found):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-5 * abs(double).max())


@pytest.mark.parametrize("image", [(1, 4, 9), (1, 9, 4)])
def test_filters_larger_than_the_images_are_refused(image):
    layer = Conv2D(to_device(np.ones((2, 1, 5, 5))), to_device(np.zeros(2)))
    with pytest.raises(ValueError, match=f"filters of 5 × 5 do not fit into images of {image[1]} × {image[2]}"):
        layer.forward(to_device(np.ones((*image, 3))))


# ------------------------------------------------------------------------------------------------------- pooling


POOLINGS = [(1, 4, 5), (2, 4, 6), (2, 5, 7), (3, 4, 8), (3, 3, 11), (3, 6, 6)]


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize(("size", "height", "width"), POOLINGS)
def test_pooling_takes_the_largest_of_every_window(rng, size, height, width, border):
    x = rng.normal(-5, 1, size=(3, height, width, 4))  # all below 0: nothing outside the image may win
    there = to_device(x)
    found = to_numpy(MaxPool2D(size, border).forward(there))
    np.testing.assert_array_equal(found, pooled(x, size, border))
    np.testing.assert_array_equal(to_numpy(there), x)


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize(("size", "height", "width"), POOLINGS)
def test_gradients_of_pooling(rng, central_differences, size, height, width, border):
    x, layer = distinct(rng, 2, height, width, 3), MaxPool2D(size, border)
    (c,) = normal(rng, layer.forward(x).shape)
    expected = central_differences(lambda: (c * layer.forward(x) ** 2).sum(), x, step=1e-4)
    dx = layer.backward(2 * c * layer.forward(x))
    np.testing.assert_allclose(to_numpy(dx), expected, rtol=1e-7, atol=1e-8)


def test_pooling_by_hand_with_and_without_its_border():
    x = to_device(np.array([[1.0, 4, 9], [3, 2, 0], [5, 5, 7]]).reshape(1, 3, 3, 1))
    for border, largest, given in [
        (False, [[4]], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        (True, [[4, 9], [5, 7]], [[0, 1, 2], [0, 0, 0], [3, 0, 4]]),  # of two fives, the first
    ]:
        layer = MaxPool2D(2, border)
        assert to_numpy(layer.forward(x))[0, :, :, 0].tolist() == largest
        delta = to_device(np.arange(1.0, 1 + np.size(largest)).reshape(layer.forward(x).shape))
        assert to_numpy(layer.backward(delta))[0, :, :, 0].tolist() == given


@pytest.mark.parametrize("border", [False, True])
def test_of_equal_pixels_the_first_gets_all_of_the_gradient(rng, border):
    """As on the empty paper around a digit: nothing is counted twice, nothing is lost."""
    x, layer = rng.integers(2, size=(2, 5, 5, 6)).astype(float), MaxPool2D(2, border)
    delta = rng.normal(size=layer.forward(to_device(x)).shape)
    dx = to_numpy(layer.backward(to_device(delta.copy())))
    expected = np.zeros_like(x)
    for c, y, z, k in itertools.product(*map(range, delta.shape)):
        window = x[c, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2, k]
        i, j = np.unravel_index(window.argmax(), window.shape)
        expected[c, 2 * y + i, 2 * z + j, k] = delta[c, y, z, k]
    np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize("activation", [Tanh, Sigmoid])
def test_an_activation_may_overwrite_what_pooling_returns(rng, central_differences, activation):
    x, c = distinct(rng, 2, 4, 4, 3), to_device(rng.normal(size=(2, 2, 2, 3)))
    x -= 4.8  # about zero, where the activation has a slope
    layers = MaxPool2D(2), activation()

    def cost():
        return (c * layers[1].forward(layers[0].forward(x))).sum()

    expected = central_differences(cost, x)
    cost()
    dx = layers[0].backward(layers[1].backward(c.copy()))
    np.testing.assert_allclose(to_numpy(dx), expected, rtol=1e-6, atol=1e-9)


def test_a_window_larger_than_the_image():
    x = np.arange(6).reshape(1, 2, 3, 1)  # whole numbers will do
    assert to_numpy(MaxPool2D(5, border=True).forward(to_device(x))).tolist() == [[[[5]]]]
    with pytest.raises(ValueError, match="no window of 5 × 5 fits into images of 2 × 3"):
        MaxPool2D(5).forward(to_device(x))


# ---------------------------------------------------------------------------------------------- rows and images


def test_rows_are_read_line_by_line_and_come_back(rng):
    rows = rng.normal(size=(5, 12))
    images = to_numpy(Images(3, 4).forward(to_device(rows)))
    assert images.shape == (1, 3, 4, 5)
    for k in range(5):
        np.testing.assert_array_equal(images[0, :, :, k], rows[k].reshape(3, 4))
    np.testing.assert_array_equal(to_numpy(Network([Images(3, 4), Flatten()]).predict(to_device(rows))), rows)


def test_pixels_that_are_missing_are_zero(rng):
    layer = Images(3, 3)
    layer.forward(to_device(rng.normal(size=(2, 9))))
    images = to_numpy(layer.forward(to_device(np.arange(1.0, 15).reshape(2, 7))))
    assert images[0, :, :, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 0, 0]]
    assert images[0, :, :, 1].tolist() == [[8, 9, 10], [11, 12, 13], [14, 0, 0]]


@pytest.mark.parametrize("n_pixels", [12, 10])
def test_gradients_of_rows_through_all_kinds_of_layers(rng, central_differences, n_pixels):
    x, W, b = normal(rng, (3, n_pixels), (2, 1, 2, 2), 2)
    network = Network([Images(3, 4), Conv2D(W, b), Tanh(), MaxPool2D(2, border=True), Flatten()])
    (c,) = normal(rng, (3, 4))
    expected = central_differences(lambda: (c * network.forward(x)).sum(), x)
    network.forward(x)
    delta = c.copy()
    for layer in reversed(network.layers):
        delta = layer.backward(delta)
    assert delta.shape == x.shape
    np.testing.assert_allclose(to_numpy(delta), expected, rtol=1e-6, atol=1e-8)


def test_layers_say_what_they_are():
    layers = Images(28, 20), Conv2D(*(to_device(np.zeros(shape)) for shape in [(20, 1, 5, 3), 20])), MaxPool2D(2)
    assert " ".join(map(repr, layers)) == "Images(28 × 20) Conv2D(1 → 20, 5 × 3) MaxPool2D(2 × 2)"


def test_a_window_wider_than_the_image():
    with pytest.raises(ValueError, match="no window of 2 × 2 fits into images of 3 × 1"):
        MaxPool2D(2).forward(to_device(np.zeros((1, 3, 1, 1))))
