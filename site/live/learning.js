// Contrastive divergence and persistent chains, as in the companion: the same uniform numbers, the same gradients.

import { sigmoid } from "./rbm.js";

export class ContrastiveDivergence {
  /** With `nChains` persistent chains; with 0 of them, the chains start at the minibatch. */
  constructor(rbm, uniform, { k = 1, nChains = 0 } = {}) {
    Object.assign(this, { rbm, uniform, k, persistent: nChains > 0, h: states(nChains, rbm.nHidden), v: [], p: [], first: [] });
    const even = new Float64Array(rbm.nHidden).fill(0.5);
    for (const h of this.h) draw(even, uniform, h);
  }

  /** Follow minus the gradient, estimated on the minibatch of binary states `data`, so far as `rate` says. */
  update(data, rate) {
    this._allocate(data.length);
    const { rbm, uniform, h, first, v, p } = this;
    data.forEach((each, row) => means(rbm.inputs(each, first[row])));
    if (!this.persistent) first.forEach((each, row) => draw(each, uniform, h[row]));
    for (let step = 0; step < this.k; step++) {
      h.forEach((each, row) => draw(means(rbm.inputsDown(each, this.a)), uniform, v[row]));
      v.forEach((each, row) => means(rbm.inputs(each, p[row])));
      // the last draw is for chains that go on
      if (this.persistent || step < this.k - 1) p.forEach((each, row) => draw(each, uniform, h[row]));
    }
    const gradient = [rbm.W, rbm.visibleBias, rbm.hiddenBias].map((each) => new Float64Array(each.length));
    data.forEach((each, row) => collect(each, first[row], 1 / data.length, ...gradient));
    v.forEach((each, row) => collect(each, p[row], -1 / v.length, ...gradient));
    [rbm.W, rbm.visibleBias, rbm.hiddenBias].forEach((parameter, which) => {
      for (let i = 0; i < parameter.length; i++) parameter[i] += rate * gradient[which][i];
    });
  }

  /** Make the buffers at the first update, or for a minibatch of another size. */
  _allocate(n) {
    const { nVisible, nHidden } = this.rbm, numbers = (rows) => Array.from({ length: rows }, () => new Float64Array(nHidden));
    if (this.first.length === n) return;
    if (!this.persistent) this.h = states(n, nHidden);
    Object.assign(this, { first: numbers(n), p: numbers(this.h.length), v: states(this.h.length, nVisible), a: new Float64Array(nVisible) });
  }
}

const states = (rows, size) => Array.from({ length: rows }, () => new Uint8Array(size));

/** Turn inputs into the means of binary units, in place. */
export function means(x) {
  for (let i = 0; i < x.length; i++) x[i] = sigmoid(x[i]);
  return x;
}

/** Draw ones with these probabilities, zeros otherwise, into `out`. */
export function draw(probabilities, uniform, out = new Uint8Array(probabilities.length)) {
  for (let i = 0; i < out.length; i++) out[i] = uniform() < probabilities[i] ? 1 : 0;
  return out;
}

/** Add `weight` times the statistics of one state v with hidden means p. */
function collect(v, p, weight, W, b, c) {
  for (let j = 0; j < p.length; j++) c[j] += weight * p[j];
  for (let i = 0; i < v.length; i++) {
    if (!v[i]) continue;
    b[i] += weight;
    for (let j = 0, k = i * p.length; j < p.length; j++, k++) W[k] += weight * p[j];
  }
}

/** All images of bars or of stripes, the bars first, in the order of `companion.data.bars_and_stripes`. */
export function barsAndStripes(side) {
  const lines = Array.from({ length: 2 ** side }, (_, n) => Array.from({ length: side }, (_, i) => (n >> (side - 1 - i)) & 1));
  const bars = lines.slice(0, -1).map((line) => Array.from({ length: side }, () => line).flat());
  const stripes = lines.slice(1).map((line) => line.flatMap((bit) => Array(side).fill(bit)));
  return [...bars, ...stripes];
}
