"""Figures of the book. Functions take arrays and return Matplotlib figures; `show` displays one with its alt text.

The maps are safe for colour-blind readers: grey for images, blue–white–red (``RdBu_r``) for signed values, and the
line colours of Okabe and Ito (2008).
"""

import io
import re
from math import prod

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from .backend import to_numpy

__all__ = [
    "COLORS", "figure", "image_grid", "image_strips", "ink", "learning_curves", "show", "tile_images", "weight_images",
]  # fmt: skip

COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]

STYLE = {
    "figure.facecolor": "white",  # a background of its own: readable on a dark page
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "image.cmap": "gray",
    "legend.frameon": False,
}


def ink(color):
    """Return the colour, darkened until letters of it on white have the contrast of 4.5 that WCAG 2.1, 1.4.3, asks."""
    parts = np.array(to_rgb(color))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    linear *= min(1, (1.05 / 4.5 - 0.05) / max(linear @ (0.2126, 0.7152, 0.0722), 1e-9))
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def figure(width=7.0, height=2.6, rows=1, columns=1, **options):
    """Return a figure in the book's style and its axes.

    Parameters
    ----------
    width, height : float
        In inches; 7 fills the column of a notebook.
    rows, columns : int
    options
        Passed on to `matplotlib.figure.Figure.subplots`.
    """
    with plt.rc_context(STYLE):
        # Made without pyplot: nothing is displayed twice, nothing piles up in memory.
        fig = Figure(figsize=(width, height))
        return fig, fig.subplots(rows, columns, **options)


def png(fig, dpi=160):
    """Return the figure as the bytes of a PNG image; numbers in its texts get a minus sign for the hyphen of Python."""
    for text in fig.findobj(Text):
        text.set_text(re.sub(r"(?<![\w.])-(?=\.?\d)", "−", text.get_text()))
    buffer = io.BytesIO()
    with plt.rc_context(STYLE):
        fig.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def caption(number):
    """Return the caption of a figure, as data that a notebook can display."""
    return {"text/markdown": f"**Figure {number}**", "text/plain": f"Figure {number}"}


def show(fig, alt, number=None):
    """Display a figure in the notebook.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    alt : str
        What it shows in words, for those who cannot see it.
    number : str, optional
        Of the figure, such as "6.3", by which the text refers to it. ``tests/number_figures.py`` counts them.
    """
    from IPython.display import display

    width, height = (int(size * fig.dpi) for size in fig.get_size_inches())
    display(
        {"image/png": png(fig), "text/plain": alt},
        metadata={"image/png": {"alt": alt, "width": width, "height": height}},
        raw=True,
    )
    if number:
        display(caption(number), raw=True)


def _as_images(images, shape, limit=None):
    """Return images (n, height * width), or one of them, as (n, height, width), or raise ValueError.

    Whole numbers above 1 are no pixels, unless a `limit` says what they are shown by.
    """
    images, n_pixels = to_numpy(images), prod(shape)
    if not images.size or (images.shape[-1] != n_pixels and images.shape[-2:] != tuple(shape)):
        raise ValueError(f"images: expected the shape (n, {n_pixels}), n at least 1, found {images.shape}")
    if not limit and images.dtype.kind in "iu" and images.max() > 1:
        raise ValueError(f"images: expected pixels from 0 to 1, found whole numbers up to {images.max()}: divide by "
                         "the most that a pixel can be, 255 if they are bytes")  # fmt: skip
    return images.reshape(-1, *shape)


def tile_images(images, columns=None, shape=(28, 28), gap=1, background=1.0):
    """Lay images out on a grid (the tutorials' ``tile_raster_images``).

    Parameters
    ----------
    images : array (n, height * width)
    columns : int, optional
        Images in a row; about the square root of n if not given.
    shape : (int, int)
        Height and width of an image.
    gap : int
        Pixels between two images.
    background : float
        Value of the gaps, and of the places left over.

    Returns
    -------
    numpy.ndarray (rows * (height + gap) - gap, columns * (width + gap) - gap)
    """
    images = _as_images(images, shape)
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    rows = -(-len(images) // columns)
    height, width = shape[0] + gap, shape[1] + gap
    tiles = np.full((rows * columns, height, width), background, np.result_type(images, np.float32))
    tiles[: len(images), : shape[0], : shape[1]] = images
    tiles = tiles.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    return tiles[: rows * height - gap, : columns * width - gap]


def image_grid(images, titles=None, columns=10, shape=(28, 28), size=0.7, limit=None):
    """Show images in rows, each with a title if there are any.

    Parameters
    ----------
    images : array (n, height * width)
        Pixels from 0 (black) to 1 (white), or signed values if `limit` is given.
    titles : sequence of str, optional
    columns : int
    shape : (int, int)
    size : float
        Width of one image in inches.
    limit : float, optional
        Show values from −limit (blue) to +limit (red) instead of grey levels.
    """
    images = _as_images(images, shape, limit)
    titles = titles if titles is None else list(titles)  # by their places, whatever else they are numbered by
    if titles is not None and len(titles) < len(images):
        raise ValueError(f"titles: expected {len(images)}, one for each image, found {len(titles)}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    fig, axes = figure(columns * size, rows * (size + (0.05 if titles is None else 0.25)), rows, columns)
    axes = np.ravel(axes)
    colours = {"vmin": 0, "vmax": 1, "cmap": "gray"}
    if limit:
        colours = {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"}
    for axis in axes:
        axis.set_axis_off()
    for i, (axis, image) in enumerate(zip(axes, images)):
        axis.imshow(image, **colours)
        if titles is not None:
            axis.set_title(titles[i], fontsize=9, pad=3)
    return fig


def image_strips(strips, columns=10, shape=(28, 28), width=7.0, limit=None):
    """Show several rows of images, each with its name on the left.

    Parameters
    ----------
    strips : dict of str to array (n, height * width)
    columns : int
        Images in a line; a strip of more goes on below.
    shape : (int, int)
    width : float
        In inches.
    limit : float, optional
        Show values from −limit (blue) to +limit (red) instead of grey levels.
    """
    tiles = [
        tile_images(to_numpy(images) * 1.0 if limit else images, columns, shape, gap=2, background=np.nan)
        for images in strips.values()
    ]
    # Placed by hand, in inches, so that all images are of one size whatever the names.
    left, gap = 0.085 * max(map(len, strips)) + 0.14, 0.06
    scale = (width - left) / tiles[0].shape[1]
    height = sum(len(tile) * scale + gap for tile in tiles)
    colours = {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"} if limit else {"vmin": 0, "vmax": 1, "cmap": "gray"}
    with plt.rc_context(STYLE):
        fig, top = Figure(figsize=(width, height), layout="none"), height
        for name, tile in zip(strips, tiles):
            tall = len(tile) * scale
            axis = fig.add_axes((left / width, (top - tall) / height, 1 - left / width, tall / height))
            axis.imshow(tile, **colours, aspect="auto")
            axis.set_axis_off()
            fig.text((left - 0.08) / width, (top - tall / 2) / height, name, ha="right", va="center")
            top -= tall + gap
    return fig


def weight_images(W, titles=None, columns=5, shape=(28, 28), size=1.3):
    """Show each column of a weight matrix as an image: red excites, blue inhibits, white does nothing.

    All share one scale, so that they can be compared.

    Parameters
    ----------
    W : array (height * width, n)
    titles, columns, shape, size
        As in `image_grid`.
    """
    W = to_numpy(W)
    if not np.isfinite(W).all():
        raise ValueError("W: expected finite weights, found NaN or infinity among them")
    limit = float(np.abs(W).max()) or 1.0
    fig = image_grid(W.T, titles, columns, shape, size, limit)
    bar = fig.colorbar(fig.axes[0].images[0], ax=fig.axes, shrink=0.75, aspect=30, pad=0.02)
    bar.set_label("weight")
    bar.outline.set_visible(False)
    return fig


def learning_curves(history):
    """Show the loss of the minibatches and the validation error over the epochs, and where the error was lowest.

    Parameters
    ----------
    history : companion.training.History
        Of a training with a validation set.

    Raises
    ------
    ValueError
        If it has no validation errors.
    """
    if not history.valid_error:
        raise ValueError("history: expected that of a training with a validation set, found no validation errors")
    fig, (left, right) = figure(columns=2)
    epochs, of = history.epochs, np.diff([0, *history.updates])
    whole = of == of.max()  # where patience ended, the mean may be over a single minibatch
    left.plot(epochs[whole], np.array(history.train_loss)[whole])
    left.set(xlabel="epoch", ylabel="nats per image", title="training loss (mean over minibatches)")
    right.plot(epochs, 100 * np.array(history.valid_error), color=COLORS[1])
    best = history.best_update / history.n_batches, 100 * history.best_error
    right.plot(*best, "o", color=COLORS[6], markersize=5)
    right.text(1, 0.97, f"best: {best[1]:.2f}%", transform=right.transAxes, ha="right", va="top")  # errors fall
    right.set(xlabel="epoch", ylabel="per cent", title="validation error")
    for axis in (left, right):
        axis.locator_params(axis="x", integer=True)
    return fig
