// CD against PCD: two machines learn the 4 × 4 bars and stripes from the same first weights, one by CD-k, one by PCD-k.

import { Drawing, Panel, Pixels, box, curve, line, make, slider, tiles, words } from "./panel.js";
import { ContrastiveDivergence, barsAndStripes, draw, means } from "./learning.js";
import { normals, random } from "./random.js";
import { RBM, exactLogPartition, sigmoid } from "./rbm.js";

const SIDE = 4, HIDDEN = 12, COPIES = 10; // of the data set in a minibatch: 300 chains
const IMAGES = barsAndStripes(SIDE), BATCH = Array.from({ length: COPIES }, () => IMAGES).flat();
const KNOWN = new Set(IMAGES.map((image) => image.join("")));
const LOW = -7, HIGH = -3, BEST = -Math.log(IMAGES.length); // of the axis, nats; the first climb, from -11, is left out

export class CDAgainstPCD extends Panel {
  constructor(root) {
    super(root, [1, 5, 20], 5);
    this.k = slider("k, Gibbs steps", 1, 1, 10, 1, () => this.change());
    this.rate = slider("learning rate", -1, -3, 0, 0.1, () => this.change(), (power) => (10 ** power).toPrecision(2));
    this.curves = new Drawing(420, 230, "Exact log-likelihood of both machines over the updates");
    this.errors = new Drawing(420, 130, "Squared error of reconstruction of both machines over the updates, on a logarithmic axis");
    this.beliefs = new Drawing(500, 150, "The probability that CD and PCD give to each of the thirty images", IMAGES.map(drawImage));
    this.particles = ["CD", "PCD"].map((name) => new Pixels({ scale: 5, label: `Negative particles of ${name}` }));
    const both = make("div", { class: "live-pair" }, ...this.particles.map((each) => each.element));
    const controls = [this.k, this.rate, this.speed, this.seed].map((each) => each.element);
    this.show([...controls, this.buttons, this.curves.element], [this.beliefs.element, both, this.errors.element]);
    this.reset();
  }

  /** Begin anew: the same first weights for both, and a stream of random numbers for each. */
  reset() {
    const first = random(this.seed.value), W = Array.from({ length: SIDE ** 2 * HIDDEN / 2 }, () => normals(first)).flat();
    this.rbms = [0, 1].map(() => new RBM(Float64Array.from(W, (w) => 0.1 * w), new Float64Array(SIDE ** 2), new Float64Array(HIDDEN)));
    this.learners = this.rbms.map((rbm, kind) =>
      new ContrastiveDivergence(rbm, random(this.seed.value + (kind + 1) * 2 ** 32), { k: this.k.value, nChains: kind * BATCH.length }));
    Object.assign(this, { updates: 0, history: [] });
    this._measure();
    this.draw();
  }

  change() {
    for (const learner of this.learners) learner.k = this.k.value;
    this.draw();
  }

  step(updates) {
    for (let i = 0; i < updates; i++) for (const learner of this.learners) learner.update(BATCH, 10 ** this.rate.value);
    this.updates += updates;
    this._measure();
  }

  /** Probabilities of the images, mean log-likelihoods in nats, and squared errors of reconstruction per image. */
  _measure() {
    this.p = this.rbms.map((rbm) => {
      const logZ = exactLogPartition(rbm), x = new Float64Array(HIDDEN);
      return IMAGES.map((v) => Math.exp(-rbm.freeEnergy(v, rbm.inputs(v, x)) - logZ));
    });
    const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;
    const errors = this.rbms.map((rbm) => mean(IMAGES.map((v) => reconstructed(rbm, v).reduce((sum, each, i) => sum + (each - v[i]) ** 2, 0))));
    this.history.push([this.updates, this.p.map((p) => mean(p.map(Math.log))), errors]);
    if (this.history.length > 800) this.history = this.history.filter((_, i) => i % 2 === 0 || i === this.history.length - 1);
  }

  /** Visible states as in the negative phase, drawn afresh for looking at: training has random numbers of its own. */
  _negative(kind) {
    const { rbm, persistent, h } = this.learners[kind], uniform = random(this.seed.value + this.updates * 2 ** 32 + kind + 7);
    const a = new Float64Array(SIDE ** 2), x = new Float64Array(HIDDEN);
    const down = (each) => draw(means(rbm.inputsDown(each, a)), uniform);
    if (persistent) return h.map(down);
    return BATCH.map((start) => {
      let v = start;
      for (let i = 0; i < this.k.value; i++) v = down(draw(means(rbm.inputs(v, x)), uniform));
      return v;
    });
  }

  draw() {
    const names = ["CD", "PCD"].map((kind) => `${kind}-${this.k.value}`), [, nats, errors] = this.history.at(-1), n = IMAGES.length;
    this._drawBeliefs(names);
    this.particles.forEach((pixels, kind) => {
      const v = this._negative(kind), other = v.filter((each) => !KNOWN.has(each.join(""))).length / v.length;
      pixels.draw(...tiles(v.slice(0, n), 10, SIDE, 1, 150));
      const sum = this.p[kind].reduce((total, p) => total + p);
      pixels.set("caption", `${names[kind]}: ${(100 * other).toFixed(0)} % of its negative particles are other images; p(all ${n} images) = ${sum.toFixed(2)}`);
    });
    const low = Math.min(LOW, Math.floor(Math.min(...nats)) - 0.3), ticks = [];
    for (let tick = Math.ceil(low); tick <= HIGH; tick += Math.ceil(-low / 8)) ticks.push([tick, tick]);
    drawCurves(this.curves, 230, "exact log-likelihood, nats per image", this.history, names, nats.map((x) => x.toFixed(2)), [low, HIGH], ticks, [BEST, `the best possible, ${BEST.toFixed(2)}`]);
    const logs = this.history.map(([at, , each]) => [at, each.map((error) => Math.log10(Math.max(error, 1e-12)))]);
    const floor = Math.floor(Math.min(...logs.flatMap(([, each]) => each), -1));
    drawCurves(this.errors, 130, "squared error of reconstruction", logs, names, errors.map((x) => x.toFixed(4)), [floor, 0.7], [[0, "1"], [floor, `1e${floor}`]]);
  }

  _drawBeliefs(names) {
    const n = IMAGES.length, height = (p) => Math.min(34, 17 * n * p);
    this.beliefs.draw(
      words(0, 14, `the ${n} images; bars: probability by ${names[0]} (hollow), ${names[1]} (full)`),
      IMAGES.map((_, i) => {
        const [x, y] = place(i), [cd, pcd] = this.p.map((p) => height(p[i]));
        return box(x + 2, y + 34 - cd, 10, cd, "second") + box(x + 15, y + 34 - pcd, 11, pcd, "first-fill") + line(x, y + 17, x + 28, y + 17);
      }),
    );
  }
}

/** Where the image of a number is drawn, with its bars. */
const place = (i) => [33 * (i % 15) + 2, 24 + 64 * Math.floor(i / 15)];

function drawImage(image, i) {
  const [x, y] = place(i);
  return image.map((bit, at) => box(x + 4 + 5 * (at % SIDE), y + 38 + 5 * Math.floor(at / SIDE), 5, 5, bit ? "lit" : "dark")).join("");
}

/** Send an image up and down again, by means. */
function reconstructed(rbm, v) {
  const p = means(rbm.inputs(v, new Float64Array(HIDDEN)));
  return rbm.visibleBias.map((b, i) => sigmoid(p.reduce((sum, each, j) => sum + each * rbm.W[i * HIDDEN + j], b)));
}

/** Draw a curve for each machine, with the latest values in words. */
function drawCurves(drawing, height, title, history, names, latest, [low, high], ticks, mark) {
  const [left, right, top, bottom] = [44, 410, 48, height - 18], most = Math.max(500, history.at(-1)[0]);
  const y = (value) => Math.min(bottom, top + ((high - value) / (high - low)) * (bottom - top));
  const paths = [0, 1].map((kind) => curve(history.map(([at, values]) => [left + (at / most) * (right - left), y(values[kind])]), kind ? "first" : "second dashed"));
  drawing.draw(
    words(0, 14, title), words(left, 34, `${names[0]}: ${latest[0]}`, "start", "second-words"), words(left + 180, 34, `${names[1]}: ${latest[1]}`, "start", "first-words"),
    ticks.map(([value, name]) => line(left, y(value), right, y(value), "grid") + words(left - 6, y(value) + 5, name, "end")),
    mark ? line(left, y(mark[0]), right, y(mark[0])) + words(right, y(mark[0]) - 5, mark[1], "end") : "",
    paths, line(left, bottom, right, bottom), words(right, bottom + 16, `${history.at(-1)[0].toLocaleString("en")} updates`, "end"),
  );
}

new CDAgainstPCD(document.getElementById("live"));
