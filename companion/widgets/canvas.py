"""A picture made of pixels, which can be painted on: the one drawing surface of all panels."""

import anywidget
import numpy as np
import traitlets

__all__ = ["Canvas"]

# Frames arrive as raw bytes and are enlarged by the browser. Strokes are sent back as [row, column, erase] triples,
# those of one animation frame together, with every pixel between two events of the pointer filled in.
SCRIPT = """
function render({ model, el }) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  canvas.className = "companion-canvas";
  let cursor = null, last = null, touched = [], waiting = false;

  function draw() {
    const height = model.get("height"), width = model.get("width"), view = model.get("frame");
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (bytes.length !== 3 * height * width) return;
    canvas.height = height; canvas.width = width;
    canvas.style.width = width * model.get("scale") + "px";
    canvas.style.imageRendering = model.get("scale") > 1 ? "pixelated" : "auto";  // zooming in spares the text
    const image = context.createImageData(width, height);
    for (let i = 0, j = 0; i < bytes.length; i += 3, j += 4) {
      image.data[j] = bytes[i]; image.data[j + 1] = bytes[i + 1];
      image.data[j + 2] = bytes[i + 2]; image.data[j + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    if (cursor && document.activeElement === canvas) {
      context.fillStyle = "rgba(213, 94, 0, 0.7)";
      context.fillRect(cursor[1], cursor[0], 1, 1);
    }
    canvas.dataset.frame = model.get("number");
  }

  function send() {
    waiting = false;
    if (touched.length) model.send({ painted: touched });
    touched = [];
  }

  function touch(row, column, erase) {
    if (row < 0 || column < 0 || row >= model.get("height") || column >= model.get("width")) return;
    touched.push([row, column, erase]);
    if (!waiting) { waiting = true; requestAnimationFrame(send); }
  }

  function stroke(event) {
    const box = canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / box.height * canvas.height);
    const column = Math.floor((event.clientX - box.left) / box.width * canvas.width);
    const erase = event.shiftKey || (event.buttons & 2) !== 0;
    const [r, c] = last || [row, column];
    const steps = Math.max(Math.abs(row - r), Math.abs(column - c), 1);
    for (let i = last ? 1 : steps; i <= steps; i++)
      touch(Math.round(r + (row - r) * i / steps), Math.round(c + (column - c) * i / steps), erase);
    last = [row, column];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!model.get("paintable")) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
    last = null;
    stroke(event);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => { if (last && event.buttons) stroke(event); });
  canvas.addEventListener("pointerup", () => { last = null; });
  canvas.addEventListener("contextmenu", (event) => { if (model.get("paintable")) event.preventDefault(); });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const paints = { " ": false, Delete: true, Backspace: true };
    if (!model.get("paintable") || !(event.key in moves || event.key in paints)) return;
    event.preventDefault(); event.stopPropagation();
    cursor = cursor || [model.get("height") >> 1, model.get("width") >> 1];
    if (event.key in moves) {
      const [rows, columns] = moves[event.key];
      cursor = [Math.min(Math.max(cursor[0] + rows, 0), model.get("height") - 1),
                Math.min(Math.max(cursor[1] + columns, 0), model.get("width") - 1)];
      draw();
    } else touch(cursor[0], cursor[1], event.shiftKey || paints[event.key]);
  });
  canvas.addEventListener("focus", draw);
  canvas.addEventListener("blur", draw);

  function describe() {
    const paintable = model.get("paintable");
    canvas.setAttribute("aria-label", model.get("label"));
    canvas.setAttribute("role", paintable ? "application" : "img");  // screen readers then hand on the arrow keys
    canvas.tabIndex = paintable ? 0 : -1;
    canvas.style.touchAction = model.get("paintable") ? "none" : "auto";
    canvas.style.cursor = paintable ? "crosshair" : "default";
  }
  model.on("change:number", draw);
  model.on("change:label", describe);
  describe();
  draw();
  el.appendChild(canvas);
}
export default { render };
"""

STYLE = """
.companion-canvas { display: block; max-width: 100%; }
.companion-canvas:focus-visible { outline: 3px solid #E69F00; outline-offset: 2px; }
"""


class Canvas(anywidget.AnyWidget):
    """A picture of pixels, enlarged by the browser.

    Parameters
    ----------
    scale : float
        Screen pixels for one pixel of the picture; above 1 every pixel is a sharp square.
    paintable : bool
        Whether mouse, finger, pen or keyboard (arrows to move, space to paint, Delete or Shift
        with space to erase) can paint on it.
    label : str
        What the picture shows, for readers who cannot see it.
    """

    _esm = SCRIPT
    _css = STYLE
    frame = traitlets.Bytes(b"").tag(sync=True)
    height = traitlets.Int(0).tag(sync=True)
    width = traitlets.Int(0).tag(sync=True)
    number = traitlets.Int(0).tag(sync=True)
    scale = traitlets.Float(10.0).tag(sync=True)
    paintable = traitlets.Bool(False).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)

    def __init__(self, scale=10.0, paintable=False, label=""):
        super().__init__(scale=scale, paintable=paintable, label=label)
        self.pixels = np.zeros((0, 0, 3), np.uint8)
        self._painters = []
        self.on_msg(self._receive)

    def draw(self, pixels):
        """Show pixels, uint8 of shape (height, width) in grey or (height, width, 3) in RGB."""
        pixels = np.asarray(pixels, np.uint8)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        self.pixels = np.ascontiguousarray(pixels)
        with self.hold_sync():  # one message carries the pixels and their number
            self.height, self.width = pixels.shape[:2]
            self.frame = self.pixels.tobytes()
            self.number += 1

    def on_paint(self, function):
        """Call ``function(strokes)`` whenever something is painted; strokes are (row, column, erase) triples."""
        self._painters.append(function)

    def _receive(self, _, content, buffers):
        strokes = [(int(row), int(column), bool(erase)) for row, column, erase in content.get("painted", [])]
        for function in self._painters if strokes else ():
            function(strokes)
