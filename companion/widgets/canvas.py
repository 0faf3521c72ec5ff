"""A picture made of pixels, which can be painted on: the one drawing surface of all panels."""

import zlib

import anywidget
import numpy as np
import traitlets

from ..plots import tile_images
from .drawing import grey_levels

__all__ = ["Canvas"]

LARGE = 20_000  # bytes of a frame that is worth a compression of twice the time

# Frames arrive as compressed bytes, grey or RGB, and are enlarged by the browser. Strokes are sent back as
# [row, column, erase] triples, those of one animation frame together, with every pixel between two events of the
# pointer filled in. What ipywidgets leaves unsaid to screen readers, the first canvas of a panel says for all.
SCRIPT = """
function dress(panel) {
  if (!panel || panel.dataset.dressed) return;
  panel.dataset.dressed = "yes";
  function name() {
    for (const box of panel.querySelectorAll(".widget-inline-hbox")) {
      const label = box.querySelector(".widget-label")?.textContent ?? "";
      for (const part of box.querySelectorAll(".noUi-handle, .widget-readout")) part.setAttribute("aria-label", label);
      const handle = box.querySelector(".noUi-handle"), seen = box.querySelector(".widget-readout")?.textContent;
      if (handle && seen && handle.getAttribute("aria-valuetext") !== seen) handle.setAttribute("aria-valuetext", seen);
    }
    for (const group of panel.querySelectorAll(".widget-toggle-buttons")) {
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", group.querySelector(".widget-label")?.textContent ?? "");
    }
    for (const label of panel.querySelectorAll('[title="null"]')) label.removeAttribute("title");
    for (const player of panel.querySelectorAll("audio")) player.setAttribute("aria-label", "the music");
    for (const button of panel.querySelectorAll(".widget-toggle-buttons button"))  // Run is called Pause when it is on
      if (button.getAttribute("aria-pressed") !== String(button.classList.contains("mod-active")))
        button.setAttribute("aria-pressed", button.classList.contains("mod-active"));
  }
  const changes = { subtree: true, childList: true, characterData: true, attributes: true,
                    attributeFilter: ["class", "aria-valuetext"] };
  new MutationObserver(name).observe(panel, changes);
  panel.addEventListener("keydown", (event) => {  // not for the notebook, which would cut the cell at an x
    const command = event.ctrlKey || event.metaKey || event.altKey;
    if (!command && (event.key.length === 1 || /^(Arrow|Page|Home|End|Delete|Backspace)/.test(event.key)))
      event.stopPropagation();
  });
  name();
}

const ENDS = ["pointerup", "pointercancel"];

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const caption = document.createElement("div"), spoken = document.createElement("div");
  let cursor = null, last = null, pointer = null, touched = [], waiting = false, shown = 0, picture = null;

  async function receive() {
    const number = model.get("number"), height = model.get("height"), width = model.get("width");
    if (!number) return;
    const packed = new Blob([model.get("frame")]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
    if (number <= shown || bytes.length % (height * width)) return;  // a later frame was faster
    shown = number;
    const channels = bytes.length / (height * width);
    picture = context.createImageData(width, height);
    for (let i = 0, j = 0; j < picture.data.length; i += channels, j += 4) {
      for (let k = 0; k < 3; k++) picture.data[j + k] = bytes[channels === 3 ? i + k : i];
      picture.data[j + 3] = 255;
    }
    draw();
  }

  function draw() {
    if (!picture) return;
    canvas.height = picture.height; canvas.width = picture.width;
    canvas.style.width = picture.width * model.get("scale") + "px";
    canvas.style.imageRendering = model.get("scale") > 1 ? "pixelated" : "auto";  // zooming in spares the text
    context.putImageData(picture, 0, 0);
    if (getComputedStyle(canvas).filter !== "none") {  // a dark page: images keep their black and white
      context.globalCompositeOperation = "difference";
      context.fillStyle = "white";
      for (const [x, y, w, h] of model.get("images")) context.fillRect(x, y, w, h);
      context.globalCompositeOperation = "source-over";
    }
    if (cursor && document.activeElement === canvas) {  // black and white, to be seen on any ground
      const size = step() === 1 ? 1 : 4, middle = step() === 1 ? 0 : size;
      const at = (place, end) => Math.max(0, Math.min(place - middle, end - 2 * size));
      const row = at(cursor[0], canvas.height), column = at(cursor[1], canvas.width);
      const fill = (colour, x, y, side) => { context.fillStyle = colour; context.fillRect(x, y, side, side); };
      fill("black", column, row, 2 * size);
      fill("white", column + size, row, size);
      fill("white", column, row + size, size);
    }
    canvas.dataset.frame = shown;
  }

  function step() {  // of the cursor: a pixel, or what can be seen where those are of the screen
    return model.get("scale") === 1 ? 8 : 1;
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
    if (!model.get("paintable") || (pointer ?? event.pointerId) !== event.pointerId) return;  // a second finger
    canvas.setPointerCapture(event.pointerId);
    pointer = event.pointerId;
    for (const end of ENDS) window.addEventListener(end, lift);  // wherever: the canvas may be taken away meanwhile
    canvas.focus();
    last = cursor = null;
    stroke(event);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last && event.buttons && event.pointerId === pointer) stroke(event);
  });
  function lift(event) {
    if (event.pointerId !== pointer) return;
    last = pointer = null;
    for (const end of ENDS) window.removeEventListener(end, lift);
  }
  canvas.addEventListener("contextmenu", (event) => { if (model.get("paintable")) event.preventDefault(); });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const paints = { " ": false, Delete: true, Backspace: true };
    if (!model.get("paintable") || !(event.key in moves || event.key in paints)) return;
    event.preventDefault(); event.stopPropagation();
    point();
    if (event.key in moves) {
      const [rows, columns] = moves[event.key].map((direction) => direction * step());
      cursor = [Math.min(Math.max(cursor[0] + rows, 0), model.get("height") - 1),
                Math.min(Math.max(cursor[1] + columns, 0), model.get("width") - 1)];
      draw();
    } else touch(cursor[0], cursor[1], event.shiftKey || paints[event.key]);
    const done = event.key in moves ? "" : event.shiftKey || paints[event.key] ? ", erased" : ", painted";
    spoken.textContent = `row ${cursor[0] + 1}, column ${cursor[1] + 1}${done}`;
  });
  function point() {
    if (model.get("paintable")) cursor = cursor || [model.get("height") >> 1, model.get("width") >> 1];
  }
  canvas.addEventListener("focus", () => { if (pointer === null) point(); draw(); });
  canvas.addEventListener("blur", draw);

  function describe() {
    const paintable = model.get("paintable");
    canvas.setAttribute("aria-label", model.get("label"));
    canvas.setAttribute("role", paintable ? "application" : "img");  // screen readers then hand on the arrow keys
    canvas.tabIndex = paintable ? 0 : -1;
    if (paintable) canvas.setAttribute("aria-description", "Arrow keys move, space paints, Delete erases.");
    canvas.style.touchAction = model.get("paintable") ? "none" : "auto";
    canvas.style.cursor = paintable ? "crosshair" : "default";
  }
  function write() {
    caption.textContent = model.get("caption");
    caption.hidden = !model.get("caption");
  }
  model.on("change:number", receive);
  model.on("change:scale", draw);
  model.on("change:label", describe);
  model.on("change:caption", write);
  canvas.className = "companion-canvas";
  if (model.get("on_paper")) canvas.classList.add("companion-paper");
  caption.className = "companion-caption";
  spoken.className = "companion-spoken";
  spoken.setAttribute("role", "status");
  describe();
  write();
  receive();
  el.append(canvas, caption, spoken);
  const themes = { attributes: true, attributeFilter: ["data-jp-theme-light", "data-theme", "class"] };
  for (const root of [document.documentElement, document.body]) new MutationObserver(draw).observe(root, themes);
  const settle = () => el.isConnected ? dress(el.closest(".companion-panel")) : requestAnimationFrame(settle);
  settle();
}
export default { render };
"""

# On paper, a picture takes on the colours of the page: its white becomes the page's own, light or dark. The controls of
# a panel with a wide picture stand in two columns above it where there is no room for both.
STYLE = """
.companion-canvas { display: block; max-width: 100%; }
.companion-panel.companion-panel :is(button, input, select, canvas, .noUi-handle, .widget-readout):focus-visible {
  outline: 3px solid var(--jp-content-font-color1, currentColor) !important; outline-offset: 2px; }
.companion-spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.companion-caption { font-size: 14px; line-height: 1.35; white-space: pre-line; color: var(--jp-content-font-color1);
                     font-family: var(--jp-content-font-family); padding: 3px 0 2px; }
.companion-paper { mix-blend-mode: multiply; }
:is([data-jp-theme-light="false"], [data-theme="dark"], .vscode-dark) .companion-paper {
  filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; }
.companion-panel { box-sizing: border-box; width: 100%; padding: 10px; overflow: visible;
                   border: 1px solid var(--jp-border-color1, #cccccc); color: var(--jp-content-font-color1); }
.companion-panel .widget-box, .companion-panel .widget-inline-hbox { overflow: visible; }
.companion-panel .companion-row { flex-flow: row wrap; gap: 6px 18px; align-items: flex-start; }
.companion-panel .companion-line { flex-flow: row wrap; gap: 0 2px; }
.companion-panel .companion-line > * { flex: 1 1 auto; }
.companion-panel button { min-height: 36px; height: auto; line-height: normal; padding: 0 8px; }
.companion-panel button.mod-active { background: #0072B2; color: #ffffff; }
.companion-panel .widget-readout { min-width: 58px; max-width: 72px; color: inherit; }
.companion-panel .widget-toggle-buttons { height: auto; display: flex; flex-flow: row wrap; align-items: center; }
.companion-panel .widget-toggle-buttons > .widget-label { text-align: right; margin-right: 6px; }
.companion-panel .widget-toggle-buttons > div { display: flex; flex-flow: row wrap; }
@media (forced-colors: active) {  /* the colours are the reader's: pictures keep theirs, and controls have edges */
  .companion-canvas.companion-paper { mix-blend-mode: normal !important; filter: none !important; }
  .companion-panel button { border: 1px solid ButtonText !important; }
  .companion-panel button.mod-active { forced-color-adjust: none; background: Highlight !important;
                                       color: HighlightText !important; }
  .companion-panel .noUi-target { border: 1px solid CanvasText; }
}
.companion-wide { container-type: inline-size; }
@container (max-width: 700px) {
  .companion-wide .companion-row > :first-child { display: grid;
    grid-template-columns: repeat(auto-fit, minmax(240px, 1fr));
    flex: 1 1 100% !important; max-width: none !important; }
  .companion-wide .companion-row > :last-child { max-width: 600px !important; }
}
:is([data-jp-theme-light="false"], [data-theme="dark"], .vscode-dark) .companion-panel { --jp-widgets-dropdown-arrow:
  url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E\
%3Cpath d='M5 7l4 4 4-4' fill='none' stroke='white' stroke-width='2'/%3E%3C/svg%3E"); }
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
    caption : str
        The words below it.
    on_paper : bool, optional
        Whether the picture is drawn on white, which then becomes the colour of the page, also of a dark one; by
        default those that are not enlarged are.
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
    caption = traitlets.Unicode("").tag(sync=True)
    on_paper = traitlets.Bool(False).tag(sync=True)
    images = traitlets.List().tag(sync=True)

    def __init__(self, scale=10.0, paintable=False, label="", caption="", on_paper=None):
        on_paper = scale == 1 if on_paper is None else on_paper
        super().__init__(scale=scale, paintable=paintable, label=label, caption=caption, on_paper=on_paper)
        self.pixels = np.zeros((0, 0, 3), np.uint8)
        self._painters = []
        self.on_msg(self._receive)

    def draw(self, pixels, images=()):
        """Show pixels, uint8 of shape (height, width) in grey or (height, width, 3) in RGB.

        Rectangles (x, y, width, height) on paper that are `images` keep their black and white on a dark page.
        """
        pixels = np.asarray(pixels, np.uint8)
        rgb = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels)
        if np.array_equal(rgb, self.pixels):
            return  # nothing to send
        self.pixels = rgb
        with self.hold_sync():  # one message carries the pixels and their number
            self.height, self.width = pixels.shape[:2]
            self.images = [list(map(int, place)) for place in images]
            self.frame = _packed(pixels.tobytes())
            self.number += 1

    def draw_tiles(self, images, columns):
        """Show square images (n, side²), from 0 to 1, in rows of so many; what lies between them is paper."""
        side = round(np.shape(images)[1] ** 0.5)
        places = [(i % columns * (side + 2), i // columns * (side + 2), side, side) for i in range(len(images))]
        self.draw(grey_levels(tile_images(images, columns, (side, side), gap=2)), places)

    def draw_units(self, units):
        """Show units (n,), from 0 to 1, line by line, in rows of 25; what is left of the last row is black."""
        self.draw(grey_levels(np.pad(units, (0, -len(units) % 25)).reshape(-1, 25)))

    def on_paint(self, function):
        """Call ``function(strokes)`` whenever something is painted; strokes are (row, column, erase) triples."""
        self._painters.append(function)

    def _receive(self, _, content, buffers):
        strokes = [(int(row), int(column), bool(erase)) for row, column, erase in content.get("painted", [])]
        for function in self._painters if strokes else ():
            function(strokes)


def _packed(pixels):
    """Return bytes compressed: quickly, and thoroughly where that leaves too many for the wire."""
    packed = zlib.compress(pixels, 3)
    return packed if len(packed) <= LARGE else zlib.compress(pixels, 6)
