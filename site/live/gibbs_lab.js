// The Gibbs lab of chapter 6 on a page: paint on the first chain, and painted pixels keep their value in all chains.

import { Drawing, Panel, Pixels, button, choice, curve, make, slider, tiles, words } from "./panel.js";
import { random } from "./random.js";
import { Chains } from "./rbm.js";
import { fetchMachine } from "./weights.js";

const SIDE = 28, REMEMBERED = 300; // steps in the trace of the free energy
const ON = [255, 176, 59], OFF = [20, 70, 140]; // clamped pixels

export class GibbsLab extends Panel {
  constructor(root, rbm) {
    super(root, [1, 5, 20]);
    this.rbm = rbm;
    this.held = new Uint8Array(SIDE * SIDE);
    this.painted = new Uint8Array(SIDE * SIDE);
    const anew = () => this.reset();
    this.start = choice("start from", ["noise", "drawing"], "noise", anew);
    this.count = slider("chains", 1, 1, 20, 1, anew);
    this.beta = slider("inverse temperature", 1, 0.2, 2, 0.05, () => (this.chains.beta = this.beta.value), (x) => x.toFixed(2));
    this.brush = choice("brush", ["on", "off", "free"], "on");
    this.shown = choice("show", ["p(v|h)", "v"], "p(v|h)", () => this.draw());
    this.pad = new Pixels({ scale: 9, label: "The first chain, 28 by 28 pixels: paint to clamp pixels", paint: (strokes) => this.paint(strokes) });
    this.hidden = new Pixels({ scale: 7, label: "Hidden units of the first chain: white is on" });
    this.all = new Pixels({ scale: 2.2, label: "All chains", on_paper: true });
    this.trace = new Drawing(270, 110, "Free energy of the chains over the steps, the first one orange");
    this.buttons.append(button("Free all", () => this.free(), "no pixel is clamped any more"));
    const controls = [this.start, this.count, this.beta, this.speed, this.seed, this.brush, this.shown];
    this.show(
      [this.pad.element, this.buttons],
      controls.map((each) => each.element),
      [this.all.element, this.hidden.element, this.trace.element, make("p", { class: "live-note" }, "free energy of each chain, the first one orange")],
    );
    this.reset();
  }

  /** Begin anew: chains where `start` says, random numbers from the seed. Clamped pixels stay clamped. */
  reset() {
    const uniform = random(this.seed.value), drawing = this.start.value === "drawing";
    if (drawing) this.held.fill(0); // it is where the chains begin, not what they must keep
    const begin = () => (drawing ? this.painted : Uint8Array.from(this.painted, () => (uniform() < 0.5 ? 1 : 0)));
    this.chains = new Chains(this.rbm, Array.from({ length: this.count.value }, begin), uniform);
    this.chains.beta = this.beta.value;
    this.chains.clamp(this.held, this.painted);
    this.energies = [];
    this.draw();
  }

  step(steps) {
    for (let i = 0; i < steps; i++) {
      this.chains.step();
      this.energies.push(this.chains.chains.map((chain) => chain.energy));
    }
    this.energies.splice(0, this.energies.length - REMEMBERED);
  }

  /** Clamp the pixels under strokes [row, column, erase], 2 × 2 at each, as the brush says, or free them. */
  paint(strokes) {
    for (const [row, column, erase] of strokes) {
      const free = erase || this.brush.value === "free";
      for (let y = row; y < Math.min(row + 2, SIDE); y++)
        for (let x = column; x < Math.min(column + 2, SIDE); x++) {
          this.held[y * SIDE + x] = free ? 0 : 1;
          this.painted[y * SIDE + x] = !free && this.brush.value === "on" ? 1 : 0;
        }
    }
    this.chains.clamp(this.held, this.painted);
    this.draw();
  }

  free() {
    this.held.fill(0);
    this.painted.fill(0);
    this.chains.clamp(null);
    this.draw();
  }

  draw() {
    const { chains } = this.chains, images = chains.map((chain) => (this.shown.value === "v" ? chain.v : chain.means));
    const pixels = new Uint8Array(3 * SIDE * SIDE);
    for (let i = 0; i < SIDE * SIDE; i++)
      pixels.set(this.held[i] ? (this.painted[i] ? ON : OFF) : Array(3).fill(255 * images[0][i]), 3 * i);
    this.pad.draw(pixels, SIDE, SIDE);
    this.hidden.draw(chains[0].h.map((on) => 255 * on), this.rbm.nHidden / 25, 25);
    this.all.element.hidden = chains.length === 1; // the pad shows it
    this.all.draw(...tiles(images, 4, SIDE, 2));
    this.all.set("caption", `all ${chains.length} chains`);
    this.pad.set("caption", `first chain · step ${this.chains.steps.toLocaleString("en")}\nfree energy ${chains[0].energy.toFixed(0)} nats`);
    const on = chains[0].h.reduce((sum, each) => sum + each, 0) / this.rbm.nHidden;
    const state = this.chains.steps ? `${(100 * on).toFixed(0)} % on` : "all off before the first step";
    this.hidden.set("caption", `its ${this.rbm.nHidden} hidden units, ${state}`);
    this._drawTrace();
  }

  _drawTrace() {
    const rows = this.energies;
    if (rows.length < 2) return this.trace.draw(words(2, 14, "free energy, nats: press Run"));
    let low = Infinity, high = -Infinity;
    for (const row of rows) for (const each of row) [low, high] = [Math.min(low, each), Math.max(high, each)];
    const place = (energy, i) => [i / (rows.length - 1) * 270, 22 + (high - energy) / Math.max(high - low, 1) * 86];
    const paths = rows[0].map((_, chain) => curve(rows.map((row, i) => place(row[chain], i)), chain ? "other" : "second"));
    this.trace.draw(words(2, 14, `free energy, ${low.toFixed(0)} to ${high.toFixed(0)} nats`), paths.reverse());
  }
}

const root = document.getElementById("live");
function begin() {
  root.replaceChildren(make("p", { role: "status" }, "Fetching the machine, 0.8 MB …"));
  fetchMachine().then(
    (rbm) => new GibbsLab(root, rbm),
    (error) => root.replaceChildren(make("p", { role: "alert" }, `This panel could not begin: ${error.message}`), button("Try again", begin)),
  );
}
begin();
