// Three by two, the machine of chapter 6 whose states can all be listed, and a Gibbs chain that is to find their frequencies.

import { Drawing, Panel, box, button, curve, line, make, slider, words } from "./panel.js";
import { random } from "./random.js";
import { Chains, RBM, exactTable, states } from "./rbm.js";

const V = states(3), H = states(2);
const CHAPTER = [[2, -1, 2, 1.5, -1.5, 2], [-1, 0, -0.5], [-0.5, -1]]; // W, b and c of the chapter's section 1
const FROZEN = [[5, 5, 5, 5, 5, 5], [-5, -5, -5], [-7.5, -7.5]]; // all units on or all off, and hardly a way between
const REMEMBERED = 4000, LAGS = 40; // steps in the autocorrelation, and how far it is drawn

export class ThreeByTwo extends Panel {
  constructor(root) {
    super(root, [1, 10, 100, 1000]);
    const one = (name, limit) => slider(name, 0, -limit, limit, 0.1, () => this.reset(), (x) => x.toFixed(1));
    const names = ["W11", "W12", "W21", "W22", "W31", "W32"];
    this.sliders = [...names.map((name) => one(name, 8)), ...["b1", "b2", "b3", "c1", "c2"].map((name) => one(name, 12))];
    this.beta = slider("β", 1, 0.1, 2, 0.05, () => this.reset(), (x) => x.toFixed(2));
    this.buttons.append(
      button("Freeze", () => this.set(...FROZEN), "two far modes: hardly any mixing"),
      button("Thaw", () => this.set(...CHAPTER), "the machine of the chapter"),
    );
    this.table = make("table", { class: "live-table" });
    this.bars = new Drawing(480, 150, "Exact probabilities of the eight images, and their frequencies in the chain");
    this.tosses = new Drawing(400, 142, "The latest coin tosses: each unit is on if u is less than p");
    this.distance = new Drawing(400, 170, "Total variation against steps, on logarithmic axes");
    this.correlation = new Drawing(400, 130, "Autocorrelation of the number of pixels that are on");
    const parameters = make("div", { class: "live-parameters" }, ...[...this.sliders, this.beta].map((each) => each.element));
    this.show(
      [parameters, this.speed.element, this.seed.element, this.buttons, make("div", { class: "live-scroll", tabindex: 0, role: "group", "aria-label": "All states" }, this.table), this.bars.element],
      [this.tosses.element, this.distance.element, this.correlation.element],
    );
    this.set(...CHAPTER);
  }

  /** Move the sliders to W, b and c, with beta at 1, and begin anew. */
  set(W, b, c) {
    [...W, ...b, ...c].forEach((value, i) => (this.sliders[i].value = value));
    this.beta.value = 1;
    this.reset();
  }

  /** Begin anew: the machine of the sliders, a chain from the image 000, random numbers from the seed. */
  reset() {
    const values = this.sliders.map((each) => each.value);
    this.rbm = new RBM(values.slice(0, 6), values.slice(6, 9), values.slice(9));
    this.exact = exactTable(this.rbm, this.beta.value);
    this.pV = this.exact.map((row) => row.reduce((sum, p) => sum + p));
    const uniform = random(this.seed.value);
    this.drawn = []; // the latest uniform numbers: for h, then for v
    this.chains = new Chains(this.rbm, [[0, 0, 0]], () => {
      this.drawn.push(uniform());
      if (this.drawn.length > 5) this.drawn.shift();
      return this.drawn.at(-1);
    });
    this.chains.beta = this.beta.value;
    Object.assign(this, { counts: new Float64Array(8), series: [], distances: [] });
    this._makeTable();
    this.draw();
  }

  step(steps) {
    const [chain] = this.chains.chains;
    for (let i = 0; i < steps; i++) {
      this.chains.step();
      this.counts[4 * chain.v[0] + 2 * chain.v[1] + chain.v[2]]++;
      this.series.push(chain.v[0] + chain.v[1] + chain.v[2]);
      if (this.chains.steps >= 1.05 * (this.distances.at(-1)?.[0] ?? 0)) this.distances.push([this.chains.steps, this.totalVariation]);
    }
    this.series.splice(0, this.series.length - REMEMBERED);
  }

  /** Half the sum of the differences between frequencies and probabilities. */
  get totalVariation() {
    const steps = Math.max(this.chains.steps, 1);
    return this.pV.reduce((sum, p, i) => sum + Math.abs(this.counts[i] / steps - p), 0) / 2;
  }

  _makeTable() {
    const most = Math.max(...this.exact.flat());
    const head = make("tr", {}, make("th", { scope: "col" }, "v ="), ...V.map((v) => make("th", { scope: "col" }, v.join(""))));
    const rows = H.map((h, row) => make("tr", {}, make("th", { scope: "row" }, `h = ${h.join("")}`), ...V.map((_, column) => {
      const p = this.exact[column][row], share = p / most;
      const cell = make("td", {}, p < 0.0005 ? "0" : (100 * p).toFixed(1));
      cell.style.setProperty("background", `rgb(0 114 178 / ${(0.5 * share).toFixed(2)})`);
      return cell;
    })));
    const caption = make("caption", {}, "p(v, h) in percent, exact; framed: where the chain is");
    this.table.replaceChildren(caption, make("thead", {}, head), make("tbody", {}, ...rows));
  }

  draw() {
    const { v, h, means, hiddenMeans } = this.chains.chains[0], { steps } = this.chains;
    this.table.querySelector("[aria-current]")?.removeAttribute("aria-current");
    if (steps) this.table.rows[1 + 2 * h[0] + h[1]].cells[1 + 4 * v[0] + 2 * v[1] + v[2]].setAttribute("aria-current", "true");
    this._drawBars(steps);
    const units = [0, 1].map((j) => [`h${j + 1}`, hiddenMeans[j], this.drawn[j], h[j]]);
    units.push(...[0, 1, 2].map((i) => [`v${i + 1}`, means[i], this.drawn[2 + i], v[i]]));
    this.tosses.draw(words(0, 14, `step ${steps.toLocaleString("en")}: each unit is on if u &lt; p`), steps ? units.map(drawToss) : "");
    this._drawDistance(steps);
    this._drawCorrelation();
  }

  _drawBars(steps) {
    const most = Math.max(0.25, ...this.pV, ...this.counts.map((count) => count / Math.max(steps, 1))), bottom = 130;
    const height = (p) => (p / most) * 96;
    this.bars.draw(
      words(0, 14, "p(v), exact (full), and frequencies in the chain (hollow)"),
      words(44, bottom - 92, `${(100 * most).toFixed(0)} %`, "end"), words(44, bottom, "0 %", "end"),
      V.map((state, i) => {
        const x = 52 + 53 * i, seen = height(this.counts[i] / Math.max(steps, 1));
        return box(x + 2, bottom - height(this.pV[i]), 21, height(this.pV[i]), "first-fill")
          + (this.counts[i] ? box(x + 26, bottom - Math.max(seen, 3), 20, Math.max(seen, 3), "second") : "")
          + words(x + 24, bottom + 16, state.join(""), "middle");
      }),
      line(50, bottom, 476, bottom),
    );
  }

  _drawDistance(steps) {
    const decades = Math.max(3, Math.ceil(Math.log10(Math.max(steps, 1)))), [left, right, top, bottom] = [50, 390, 28, 144];
    const place = ([n, value]) => [left + (Math.log10(n) / decades) * (right - left), top - (Math.log10(Math.min(1, Math.max(value, 1e-3))) / 3) * (bottom - top)];
    const expected = this.pV.reduce((sum, p) => sum + Math.sqrt((p * (1 - p)) / (2 * Math.PI)), 0);
    const path = [1, 10 ** decades].map((n) => place([n, expected / Math.sqrt(n)]));
    const latest = steps ? `: ${this.totalVariation.toFixed(3)}` : "";
    this.distance.draw(
      words(0, 14, `total variation${latest}; grey: independent draws`),
      [0, 1, 2, 3].map((e) => line(left, place([1, 10 ** -e])[1], right, place([1, 10 ** -e])[1], "grid") + words(left - 6, place([1, 10 ** -e])[1] + 5, 10 ** -e, "end")),
      Array.from({ length: decades + 1 }, (_, e) => words(place([10 ** e, 1])[0], bottom + 20, (10 ** e).toLocaleString("en"), e === decades ? "end" : "middle")),
      curve(path, "other"),
      curve(this.distances.map(place), "second"),
    );
  }

  _drawCorrelation() {
    const [left, right, top, zero] = [50, 390, 28, 90], { series } = this;
    const frame = [line(left, zero, right, zero), words(left - 6, top + 5, "1", "end"), words(left - 6, zero + 5, "0", "end"),
      [0, 10, 20, 30, 40].map((lag) => words(left + 4 + lag * 8, 122, lag, "middle"))];
    const rho = autocorrelation(series, LAGS);
    if (!rho) return this.correlation.draw(words(0, 14, "autocorrelation of the number of pixels on"), frame);
    this.correlation.draw(words(0, 14, `autocorrelation of the number of pixels on; lag in steps`), frame, rho.map((value, lag) => {
      const height = Math.min(Math.abs(value) * (zero - top), value < 0 ? 16 : zero - top);
      return box(left + 1 + lag * 8, value < 0 ? zero : zero - height, 6, height, "second-fill");
    }));
  }
}

/** Return the autocorrelation of a series of numbers at lags from 0; null if there are too few, or if it never changes. */
export function autocorrelation(series, lags) {
  const n = series.length, mean = series.reduce((sum, each) => sum + each, 0) / n;
  const deviations = Float64Array.from(series, (each) => each - mean);
  const at = (lag) => {
    let sum = 0;
    for (let i = lag; i < n; i++) sum += deviations[i] * deviations[i - lag];
    return sum / (n - lag);
  };
  if (n <= lags || !at(0)) return null;
  return Array.from({ length: lags + 1 }, (_, lag) => at(lag) / at(0));
}

/** A bar as long as the probability, and a needle where the uniform number fell. */
function drawToss([unit, p, u, x], row) {
  const y = 24 + 24 * row, needle = 30 + 160 * u;
  return [words(0, y + 14, unit), box(30, y + 2, 160, 14, "frame"), box(30, y + 2, 160 * p, 14, "first-fill"),
    line(needle, y - 1, needle, y + 19, "needle"), words(204, y + 14, `p ${p.toFixed(3)}&#160; u ${u.toFixed(3)}&#160; ${unit} = ${x}`)].join("");
}

new ThreeByTwo(document.getElementById("live"));
