"""Layers for images: convolution, pooling, and what turns rows of pixels into images and back."""

from .backend import matmul, xp
from .layers import BatchNorm, Layer, Network, reuse

__all__ = ["BatchNorm2D", "Conv2D", "Flatten", "Images", "MaxPool2D", "Pieces"]


class Images(Layer):
    """Rows of pixels as images of one channel, in the layout of `Conv2D` and `MaxPool2D`: (1, height, width, n).

    The images are innermost: neighbours in memory are the same pixel of different images, so that a part of all images
    is a few long runs of memory.

    Parameters
    ----------
    height, width : int
        A row is read line by line; where it ends before the image does, the last pixels are 0.
    """

    def __init__(self, height, width):
        self.height, self.width, self._images = height, width, None

    def __repr__(self):
        return f"Images({self.height} × {self.width})"

    def forward(self, x):
        """Return x (n, n_pixels) as images (1, height, width, n)."""
        n, self._n_pixels = x.shape
        self._images = reuse(self._images, (1, self.height, self.width, n), x.dtype)
        pixels = self._images.reshape(-1, n)
        pixels[: self._n_pixels] = x.T
        pixels[self._n_pixels :] = 0
        return self._images

    def backward(self, delta):
        """Return delta (1, height, width, n) as rows (n, n_pixels)."""
        return delta.reshape(-1, delta.shape[-1])[: self._n_pixels].T


class Flatten(Layer):
    """Images (n_channels, height, width, n) as rows (n, n_channels × height × width)."""

    _dx = None

    def forward(self, x):
        """Return x as rows: the same memory, seen differently."""
        self._shape = x.shape
        return x.reshape(-1, x.shape[-1]).T

    def backward(self, delta):
        """Return delta (n, n_channels × height × width) as images."""
        self._dx = reuse(self._dx, self._shape, delta.dtype)[: self._shape[0]]
        self._dx.reshape(-1, len(delta))[...] = delta.T
        return self._dx


class Conv2D(Layer):
    r"""Convolution of images with filters, wherever a filter fits entirely ("valid"), plus a bias for each filter.

    .. math:: a_{o,y,x} = b_o + \sum_{c,i,j} W_{o,c,i,j}\, v_{c,\,y+i,\,x+j}

    Filters are not turned by 180° first: strictly, this is a cross-correlation, which everybody calls a convolution.

    The sums are matrix products, of the filters with windows that have been copied side by side (Chellapilla, Puri and
    Simard, 2006, *High performance convolutional neural networks for document processing*). Here only the shifts to
    the right are copied: a window is then a stretch of lines, and the window below it a stretch that starts one line
    later in the same memory.

    Parameters
    ----------
    W : array (n_filters, n_channels, height, width), contiguous
    b : array (n_filters,)
    l2 : float
        :math:`\lambda_2` of a penalty :math:`\lambda_2 \|W\|_2^2`.

    Attributes
    ----------
    dW, db : array
        Gradients of loss and penalty, of the shapes of `W` and `b`; `backward` overwrites them.
    """

    def __init__(self, W, b, l2=0.0):
        self.W, self.b, self.l2 = W, b, float(l2)
        self.dW, self.db = xp.empty_like(W), xp.empty_like(b)
        self.parameters, self.gradients = (W, b), (self.dW, self.db)
        self._lines = self._output = self._dx = None

    def __repr__(self):
        n_filters, n_channels, height, width = self.W.shape
        return f"Conv2D({n_channels} → {n_filters}, {height} × {width})"

    def _filters(self):
        """Return the filters as rows (n_filters, height × n_channels × width): a line of all channels, the next, ..."""
        return self.W.swapaxes(1, 2).reshape(len(self.W), -1)

    def _windows(self, y):
        """Return the windows whose first line is y as columns (height × n_channels × width, width' × n): a view."""
        return self._lines[y : y + self.W.shape[2]].reshape(self.W[0].size, -1)

    def forward(self, x):
        """Map images x (n_channels, height, width, n) to scores (n_filters, height', width', n)."""
        n_filters, n_channels, height, width = self.W.shape
        rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
        if rows < 1 or columns < 1:
            raise ValueError(f"filters of {height} × {width} do not fit into images of {x.shape[1]} × {x.shape[2]}")
        shape = x.shape[1], n_channels, width, columns, x.shape[3]
        self._lines = reuse(self._lines, shape, self.W.dtype)[: x.shape[1]]
        self._output = reuse(self._output, (n_filters, rows, columns, x.shape[3]), self.W.dtype)
        for j in range(width):
            self._lines[:, :, j] = x[:, :, j : j + columns].swapaxes(0, 1)
        filters, scores = self._filters(), self._output.reshape(n_filters, rows, -1)
        for y in range(rows):
            matmul(filters, self._windows(y), out=scores[:, y])
        scores += self.b[:, None, None]
        return self._output

    def backward(self, delta, need_dx=True):
        """Set `dW` and `db` from delta, of the shape of the scores; return the gradient of x, if needed."""
        n_filters, rows, columns, n = delta.shape
        delta = delta.reshape(n_filters, rows, -1)
        dW = sum(matmul(delta[:, y], self._windows(y).T) for y in range(rows))
        turned = self.dW.swapaxes(1, 2)
        turned[...] = dW.reshape(turned.shape)
        if self.l2:
            self.dW += 2 * self.l2 * self.share * self.W
        xp.sum(delta, axis=(1, 2), out=self.db)
        if not need_dx:
            return None
        # The lines are not needed any more: in their place, the gradient with respect to them. Windows overlap, and
        # what they share gets the sum of what they send back.
        filters, lines = self._filters().T, self._lines
        lines[...] = 0
        for y in range(rows):
            windows = self._windows(y)
            windows += matmul(filters, delta[:, y])
        _, n_channels, width, _, _ = lines.shape
        self._dx = reuse(self._dx, (n_channels, len(lines), columns + width - 1, n), lines.dtype)
        self._dx[...] = 0
        for j in range(width):
            self._dx[:, :, j : j + columns] += lines[:, :, j].swapaxes(0, 1)
        return self._dx

    def penalty(self):
        """Return the penalty as it stands, a number to add to the loss."""
        return self.l2 * (self.W**2).sum() if self.l2 else 0.0


class MaxPool2D(Layer):
    """The largest pixel of every window of size × size; the windows lie side by side.

    Parameters
    ----------
    size : int
    border : bool
        Whether the last lines and columns, where they fill no whole window, make smaller windows of their own; without
        the border they are left out.
    """

    def __init__(self, size=2, border=False):
        self.size, self.border = size, border
        self._largest = self._output = self._dx = None

    def __repr__(self):
        return f"MaxPool2D({self.size} × {self.size})"

    def _places(self, images, *pooled):
        """Yield, for every place in a window, its pixels in `images`, and the part of `pooled` arrays that has it."""
        height, width = pooled[0].shape[1:3]
        for i in range(self.size):
            for j in range(self.size):
                pixels = images[:, i : height * self.size : self.size, j : width * self.size : self.size]
                yield pixels, *(array[:, : pixels.shape[1], : pixels.shape[2]] for array in pooled)

    def forward(self, x):
        """Map images x (n_channels, height, width, n) to (n_channels, height / size, width / size, n)."""
        self._x = x
        height, width = (-(-side // self.size) if self.border else side // self.size for side in x.shape[1:3])
        if height < 1 or width < 1:
            raise ValueError(f"no window of {self.size} × {self.size} fits into images of {x.shape[1]} × {x.shape[2]}")
        shape = len(x), height, width, x.shape[3]
        self._largest, self._output = (
            reuse(buffer, shape, x.dtype)[: len(x)] for buffer in (self._largest, self._output)
        )
        (pixels, largest), *others = self._places(x, self._largest)
        largest[...] = pixels  # the first place, which every window has
        for pixels, largest in others:
            xp.maximum(largest, pixels, out=largest)
        self._output[...] = self._largest  # a copy, which the activation above may overwrite
        return self._output

    def backward(self, delta):
        """Give delta, which is overwritten, to the largest pixel of each window: to the first, where several are."""
        self._dx = reuse(self._dx, self._x.shape, delta.dtype)[: len(delta)]
        self._dx[:, delta.shape[1] * self.size :] = 0  # what was left out
        self._dx[:, :, delta.shape[2] * self.size :] = 0
        places = zip(self._places(self._x, self._largest), self._places(self._dx, delta))
        for (pixels, largest), (dx, rest) in places:
            xp.multiply(rest, pixels == largest, out=dx)
            rest -= dx  # what one pixel has got is not left for another
        return self._dx


class BatchNorm2D(BatchNorm):
    """Batch normalisation of images: of each channel, over all its pixels in all images of the minibatch.

    What a filter finds is treated alike wherever it finds it. Source: Ioffe and Szegedy (2015), section 3.2.
    """

    def forward(self, x):
        """Normalise images x (n_channels, height, width, n) channel by channel."""
        return _images(super().forward(_columns(x)), x.shape)

    def predict(self, x):
        """Normalise images x by the running averages."""
        return _images(super().predict(_columns(x)), x.shape)

    def backward(self, delta, need_dx=True):
        """Return the gradient with respect to the images; `delta` is overwritten."""
        dx = super().backward(_columns(delta), need_dx)
        return _images(dx, delta.shape) if need_dx else None

    def _room(self, buffer, x):  # in memory as x is, channel after channel
        fits = buffer is not None and buffer.shape == x.shape and buffer.dtype == x.dtype
        return buffer if fits else xp.empty_like(x)


def _columns(images):
    """Return images (n_channels, height, width, n) as rows (height × width × n, n_channels): a view, if it can be."""
    return images.reshape(len(images), -1).T


def _images(columns, shape):
    """Return what `_columns` made as images of this shape again."""
    return columns.T.reshape(shape)


class Pieces(Network):
    """Layers through which a minibatch goes `ROWS` rows at a time, so that memory hardly grows with its size.

    The layers keep what `backward` needs for one piece only. If a minibatch has several pieces, `backward` begins with
    the last one, and repeats `forward` for each of the others (`again`); the layers may therefore draw no noise, and
    batch normalisation takes mean and variance from a piece. It works as one layer of another network.

    Parameters
    ----------
    layers : list of Layer

    Attributes
    ----------
    gradients : list of array
        Summed over the pieces, of which each bears its share of the penalties.
    """

    ROWS = 100  # of 28 × 28 pixels, and all that LeNet makes of them: some 25 MB

    def __init__(self, layers):
        super().__init__(layers)
        self._of_a_piece = self.gradients
        self.gradients = [xp.empty_like(parameter) for parameter in self.parameters]

    def _pieces(self, n):
        return [slice(start, start + self.ROWS) for start in range(0, n, self.ROWS)]

    def forward(self, x):
        """Return the output (n, n_out) for a minibatch x (n, n_in), in an array of its own."""
        self._x, outputs = x, []
        for piece in self._pieces(len(x)):
            outputs.append(super().forward(x[piece]).copy())
        return xp.concatenate(outputs)

    def backward(self, delta, need_dx=False):
        """Set the gradients from delta (n, n_out); return the gradient of the input (n, n_in), if needed."""
        dx = xp.empty_like(self._x) if need_dx else None
        for total in self.gradients:
            total[...] = 0
        for piece in reversed(pieces := self._pieces(len(delta))):
            if piece != pieces[-1]:
                x = self._x[piece]
                for layer in self.layers:
                    x = layer.again(x)
            for layer in self.layers:
                layer.share = len(delta[piece]) / len(delta)
            below = super().backward(delta[piece], need_dx)
            if need_dx:
                dx[piece] = below
            for total, gradient in zip(self.gradients, self._of_a_piece):
                total += gradient
        return dx
