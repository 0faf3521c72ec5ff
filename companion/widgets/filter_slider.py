"""Chapter 3: a filter slides over a digit, and the sums of its products fill a feature map."""

import ipywidgets as widgets
import numpy as np
from PIL import Image, ImageDraw

from ..backend import generator, one_thread, to_device, to_numpy, xp
from ..image_layers import Conv2D, Images
from .canvas import Canvas
from .drawing import INK, blue_red, grey_levels, text
from .panel import Panel, control, seed_control, touched

__all__ = ["FilterSlider"]

SIDE, FILTER, MAP = 28, 5, 24
ORANGE, UNSEEN = (230, 159, 0), (225, 225, 225)
CELL, DOT = 40, 10  # screen pixels for a number of the board, and for a pixel of the feature map
BOARD = 3 * FILTER * CELL + 220  # its width
SMOOTH, SLOPE = np.array([1, 4, 6, 4, 1]) / 16, np.array([-1, -2, 0, 2, 1]) / 4
POINT = np.eye(FILTER)[2]
BY_HAND = {
    "vertical edge": np.outer(SMOOTH, SLOPE),
    "horizontal edge": np.outer(SLOPE, SMOOTH),
    "outline": 2 * (np.outer(POINT, POINT) - np.outer(SMOOTH, SMOOTH)),
    "blur": np.full((FILTER, FILTER), 1 / FILTER**2),
    "one pixel": np.outer(POINT, POINT),
}


class FilterSlider(Panel):
    """A window of 5 × 5 pixels that goes over a digit of 28 × 28: what is under it, times a filter, summed.

    The sums are those of `companion.image_layers.Conv2D`. The feature map shows them at the places where the window has
    been; painting on the digit, and another filter, alter them there.

    Parameters
    ----------
    images : array (n, 784)
        Digits to choose from, pixels from 0 to 1.
    filters : array (n, 5, 5), optional
        To choose from besides those made by hand and the random one, for instance learned.
    seed : int
        Of the random filter.
    """

    description = (
        "A digit with a window of five by five pixels, and the feature map as far as the window has gone; below, the "
        "pixels in the window, times the filter, give 25 products, and their sum, one pixel of the map."
    )

    def __init__(self, images, filters=None, seed=0):
        self.images = self.check_digits(images)
        self.filters = {name: np.float32(values) for name, values in BY_HAND.items()} | {"random": None}
        learned = np.zeros((0, FILTER, FILTER)) if filters is None else to_numpy(filters)
        if learned.ndim != 3 or learned.shape[1:] != (FILTER, FILTER) or not np.isfinite(learned).all():
            raise ValueError(f"filters: expected finite numbers of shape (n, 5, 5), found {learned.shape}")
        self.filters |= {f"learned, no. {i}": np.float32(values) for i, values in enumerate(learned)}
        self.number = control(widgets.BoundedIntText, "digit no.", 0, 0, len(images) - 1)
        self.filter = control(widgets.Dropdown, "filter", options=list(self.filters))
        self.seed = seed_control(seed, tooltip="of the random filter")
        self.row = control(widgets.IntSlider, "row", 0, 0, MAP - 1)
        self.column = control(widgets.IntSlider, "column", 0, 0, MAP - 1)
        self.empty = control(widgets.Button, "Empty", tooltip="an empty image, to draw on")
        self.whole = control(widgets.Button, "Whole map", tooltip="as if it had been everywhere")
        self.pad = Canvas(scale=8.5, paintable=True, label="The digit, and the window on it: paint on it")
        self.map = Canvas(scale=1, label="The feature map, as far as the window has gone")
        self.pooled = Canvas(scale=DOT, label="The largest of every two by two places of the map", on_paper=True)
        self.board = Canvas(scale=1, label="Pixels in the window, filter, products, and their sum")
        self.pad.on_paint(self.paint)
        self.number.observe(lambda _: self.take(self.images[self.number.value]), "value")
        self.filter.observe(lambda _: self.refresh(), "value")
        self.seed.observe(lambda _: self._draw_filter(), "value")
        for each in (self.row, self.column):
            each.observe(lambda _: self.place(self.row.value, self.column.value), "value")
        self.empty.on_click(lambda _: self.take(np.zeros(SIDE**2)))
        self.whole.on_click(lambda _: self.fill())
        steps = self.buttons(anew="the window at the top left, the map empty")
        controls = [self.number, self.filter, self.seed, self.row, self.column, steps, [self.empty, self.whole]]
        side, small = DOT * MAP, DOT * MAP // 2
        pictures = [(238, [self.pad]), (side, [self.map]), (small + 20, [self.pooled])]
        super().__init__([(270, controls), *pictures], [(BOARD, [self.board])])
        self._placing = False
        self.filters["random"] = self._random_filter()
        self.take(self.images[0])

    def _random_filter(self):
        return generator(self.seed.value).normal(0, 0.3, (FILTER, FILTER)).astype(np.float32)

    def _draw_filter(self):
        self.filters["random"] = self._random_filter()
        self.refresh()

    def take(self, image):
        """Put the window on a copy of `image` (784,), and begin anew."""
        self.image = np.array(image, np.float32)
        self._clear()
        self.refresh()

    def _clear(self):
        self.seen, self.steps = np.arange(MAP**2).reshape(MAP, MAP) == 0, 0
        self._put(0, 0)

    def _put(self, row, column):
        self._placing = True  # one drawing for two sliders
        self.row.value, self.column.value = row, column
        self._placing = False

    def reset(self):
        """Begin anew: the window at the top left, the map empty but for that place."""
        self._clear()
        self._draw()

    def step(self):
        """Move the window one pixel on, line by line; a run ends at the last place, the next step begins again."""
        last = MAP**2 - 1
        position = (MAP * self.row.value + self.column.value + 1) % (last + 1)
        self.steps += 1
        self.place(*divmod(position, MAP))
        if position == last:
            self.pause()

    def place(self, row, column):
        """Put the window with its upper left corner on pixel (row, column)."""
        if self._placing:
            return
        self._put(row, column)
        self.seen[row, column] = True
        self._draw()

    def fill(self):
        """Show the whole map."""
        self.seen[...] = True
        self._draw()

    def paint(self, strokes):
        """Draw on the digit, or erase."""
        for pixels, erase in touched(strokes):
            self.image[pixels] = not erase
        self.refresh()

    def refresh(self):
        """Set `feature_map` to all sums (24, 24), wherever the window has been, and draw everything anew."""
        kernel = to_device(self.filters[self.filter.value][None, None])
        with one_thread():
            images = Images(SIDE, SIDE).forward(to_device(self.image[None]))
            self.feature_map = to_numpy(Conv2D(kernel, xp.zeros(1, kernel.dtype)).forward(images))[0, :, :, 0]
        self._draw()

    def _map(self, values, limit):
        """Return the map, unseen places grey with a line across, the window's place framed."""
        colours = np.where(self.seen[..., None], blue_red(values, limit), np.uint8(UNSEEN))
        pixels = np.kron(colours, np.ones((DOT, DOT, 1), np.uint8))
        across = np.kron(~self.seen, np.eye(DOT, dtype=bool))
        pixels[across] = (190, 190, 190)
        picture, (x, y) = Image.fromarray(pixels), (DOT * self.column.value, DOT * self.row.value)
        ImageDraw.Draw(picture).rectangle((x, y, x + DOT - 1, y + DOT - 1), outline="black", width=2)
        return np.asarray(picture)

    def _numbers(self, picture, left, values, colours, title):
        """Write a table of 5 × 5 numbers, on their colours, at `left` of the board."""
        draw = ImageDraw.Draw(picture)
        for (i, j), value in np.ndenumerate(values):
            x, y, colour = left + CELL * j, 22 + CELL * i, tuple(map(int, colours[i, j]))
            draw.rectangle((x, y, x + CELL - 2, y + CELL - 2), fill=colour, outline="#bbbbbb")
            ink = "white" if np.dot(colour, (0.3, 0.6, 0.1)) < 120 else "black"
            text(picture, (x + CELL // 2 - 1, y + CELL // 2), f"{value:z.2f}", 13, ink, "mm")
        text(picture, (left, 2), title, 15, INK)

    def _sum(self, value, colour):
        """Return the board: the pixels in the window, the filter, their products, and the sum."""
        row, column, kernel = self.row.value, self.column.value, self.filters[self.filter.value]
        pixels = self.image.reshape(SIDE, SIDE)[row : row + FILTER, column : column + FILTER]
        products, side = pixels * kernel, FILTER * CELL
        limit = float(np.abs(kernel).max()) or 1.0
        picture = Image.new("RGB", (BOARD, side + 24), "white")
        grey = np.repeat(grey_levels(pixels)[..., None], 3, axis=2)
        tables = (
            (pixels, grey, "pixels in the window"),
            (kernel, blue_red(kernel, limit), f"filter: {self.filter.value}"),
            (products, blue_red(products, limit), "products"),
        )
        for i, table in enumerate(tables):
            self._numbers(picture, (side + 40) * i, *table)
            text(picture, ((side + 40) * i + side + 19, 22 + side // 2), "·= "[i], 26, INK, "mm")
        x, y = 3 * side + 130, 22 + side // 2
        shape = (x - 14, y - 32, x + 74, y + 32)
        ImageDraw.Draw(picture).rectangle(shape, fill=tuple(map(int, colour)), outline="black", width=2)
        ink = "white" if np.dot(colour, (0.3, 0.6, 0.1)) < 120 else "black"
        text(picture, (x + 30, y), f"{value:z.2f}", 20, ink, "mm")
        text(picture, (x + 30, y - 46), "their sum", 15, INK, "mm")
        return np.asarray(picture)

    def _draw(self):
        values, here = self.feature_map, (self.row.value, self.column.value)
        limit = float(np.abs(values).max()) or 1.0
        digit = np.repeat(grey_levels(self.image.reshape(SIDE, SIDE))[..., None], 3, axis=2)
        window = digit[here[0] : here[0] + FILTER, here[1] : here[1] + FILTER]
        window[...] = 0.6 * window + 0.4 * np.array(ORANGE)
        self.pad.draw(digit)
        self.map.draw(self._map(values, limit))
        side = FILTER * CELL
        self.board.draw(self._sum(values[here], blue_red(values, limit)[here]), [(0, 22, side, side)])
        self.pad.caption = f"window at row {self.row.value}, column {self.column.value}"
        self.map.caption = f"feature map · {self.seen.sum()} of {MAP**2} places"
        self.pooled.draw(self._pool(limit))
        self.pooled.caption = "max-pooled, 2 × 2"

    def _pool(self, limit):
        """Return the largest value of every window of 2 × 2 places, grey where the window has not been to all four."""
        blocks = self.feature_map.reshape(MAP // 2, 2, MAP // 2, 2)
        complete = self.seen.reshape(blocks.shape).all(axis=(1, 3))
        return np.where(complete[..., None], blue_red(blocks.max(axis=(1, 3)), limit), np.uint8(UNSEEN))
