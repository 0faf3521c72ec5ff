// What the live pages share: controls, running and resting, pictures made of pixels, and curves.

import front from "./canvas.js"; // the canvas of the notebooks' panels, unchanged

/** Make an element: its name, its attributes, and what is in it. */
export function make(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (value === true || value === false) element.toggleAttribute(key, value);
    else element.setAttribute(key, value);
  element.append(...content);
  return element;
}

export function slider(name, value, min, max, step, changed, show = String) {
  const input = make("input", { type: "range", min, max, step, value }), output = make("output", { "aria-live": "off" });
  const say = () => {
    output.textContent = show(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent); // screen readers would tell the exponent of a rate
  };
  input.addEventListener("input", say);
  input.addEventListener("change", changed);
  say();
  const element = make("label", { class: "live-control" }, make("span", {}, name), input, output);
  return {
    element,
    get value() { return Number(input.value); },
    set value(value) { input.value = value; say(); },
  };
}

export function number(name, value, min, max, changed) {
  const input = make("input", { type: "number", min, max, step: 1, value });
  input.addEventListener("change", () => {
    input.value = Math.min(max, Math.max(min, Math.round(Number(input.value)) || 0));
    changed();
  });
  return {
    element: make("label", { class: "live-control" }, make("span", {}, name), input),
    get value() { return Number(input.value); },
  };
}

export function choice(name, options, value, changed = () => {}) {
  const select = make("select", {}, ...options.map((each) => make("option", { selected: each === value }, String(each))));
  select.addEventListener("change", changed);
  return {
    element: make("label", { class: "live-control" }, make("span", {}, name), select),
    get value() { return options[select.selectedIndex]; },
  };
}

export function button(name, pressed, hint = "") {
  const element = make("button", { type: "button", title: hint }, name);
  element.addEventListener("click", pressed);
  return element;
}

/** A panel in the element `root`: a subclass has `reset()`, `step()` and `draw()`, and says which steps a frame there are. */
export class Panel {
  constructor(root, speeds, speed = speeds[0]) {
    Object.assign(this, { root, running: false });
    root.replaceChildren();
    this.speed = choice("steps a frame", speeds, speed);
    this.seed = number("seed", 1, 0, 1e6, () => this.reset());
    this.play = button("Run", () => this.toggle(), "run or pause");
    this.buttons = make("div", { class: "live-buttons" },
      button("Step", () => { this.frame(); }, "one frame"), this.play, button("Reset", () => this.reset(), "begin anew, from the seed"));
  }

  /** Show columns, each a list of elements. */
  show(...columns) {
    this.root.classList.add("companion-panel");
    this.root.append(...columns.map((parts) => make("div", { class: "live-column" }, ...parts)));
  }

  toggle() {
    this.running = !this.running;
    this.play.textContent = this.running ? "Pause" : "Run";
    this.play.classList.toggle("on", this.running);
    const go = () => {
      if (!this.running || !this.root.isConnected) return;
      this.frame();
      requestAnimationFrame(go);
    };
    if (this.running) requestAnimationFrame(go);
  }

  frame() {
    this.step(this.speed.value);
    this.draw();
  }
}

/** A picture made of pixels, grey or RGB, that can be painted on: what `canvas.js` asks of a model is `get`, `on`, `send`. */
export class Pixels {
  constructor({ scale, label, paint = null, on_paper = false }) {
    this.values = { scale, label, paintable: Boolean(paint), caption: "", number: 0, images: [], on_paper, height: 0, width: 0 };
    this.listeners = {};
    this.element = make("div");
    const model = {
      get: (name) => this.values[name],
      on: (event, listener) => (this.listeners[event] ??= []).push(listener),
      send: ({ painted }) => paint?.(painted),
    };
    front.render({ model, el: this.element });
  }

  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    for (const listener of this.listeners[`change:${name}`] ?? []) listener();
  }

  draw(bytes, height, width, images = []) {
    Object.assign(this.values, { frame: packed(bytes), height, width, images });
    this.set("number", this.values.number + 1);
  }
}

/** Wrap bytes as a zlib stream (RFC 1950) of one stored block, of at most 65,535 bytes: what the canvas unpacks. */
export function packed(bytes) {
  if (bytes.length > 65535) throw new RangeError(`expected at most 65,535 bytes, found ${bytes.length}`);
  const whole = new Uint8Array(bytes.length + 11), view = new DataView(whole.buffer);
  let a = 1, b = 0;
  for (const byte of bytes) b = (b + (a = (a + byte) % 65521)) % 65521;
  whole.set([0x78, 0x01, 1]);
  view.setUint16(3, bytes.length, true);
  view.setUint16(5, ~bytes.length & 0xffff, true);
  whole.set(bytes, 7);
  view.setUint32(bytes.length + 7, b * 65536 + a);
  return whole;
}

/** Lay images of grey levels from 0 to 1 out on a grid, some pixels of a grey level apart; return bytes, height, width and places. */
export function tiles(images, columns, side, gap, between = 255) {
  const rows = Math.ceil(images.length / columns), pitch = side + gap;
  const height = rows * pitch - gap, width = columns * pitch - gap, bytes = new Uint8Array(height * width).fill(between);
  const places = images.map((_, n) => [(n % columns) * pitch, Math.floor(n / columns) * pitch, side, side]);
  images.forEach((image, n) => {
    const corner = places[n][1] * width + places[n][0];
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) bytes[corner + y * width + x] = 255 * image[y * side + x];
  });
  return [bytes, height, width, places];
}

/** A drawing in SVG, with words in the colours of the page: content as text, some `fixed`, the rest of the latest `draw`. */
export class Drawing {
  constructor(width, height, label, fixed = []) {
    this.element = make("div", { class: "live-drawing" });
    this.element.innerHTML = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}"><g>${fixed.join("")}</g><g></g></svg>`;
    this.element.style.maxWidth = `${width}px`;
  }

  draw(...content) {
    this.element.firstChild.lastChild.innerHTML = content.flat().join("");
  }
}

export const words = (x, y, content, anchor = "start", kind = "") =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" class="${kind}">${content}</text>`;
export const line = (x1, y1, x2, y2, kind = "axis") => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${kind}"/>`;
export const box = (x, y, width, height, kind) =>
  `<rect x="${x}" y="${y}" width="${Math.max(width, 0)}" height="${Math.max(height, 0)}" class="${kind}"/>`;
export const curve = (points, kind) =>
  `<polyline points="${points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ")}" class="${kind}"/>`;
