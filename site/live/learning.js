// Contrastive divergence and persistent chains, as in the companion: the same uniform numbers, the same gradients.

import { sigmoid } from "./rbm.js";

export class ContrastiveDivergence {
  /** With `nChains` persistent chains; with 0 of them, the chains start at the minibatch. */
  constructor(rbm, uniform, { k = 1, nChains = 0 } = {}) {
    Object.assign(this, { rbm, uniform, k, chains: null });
    if (nChains) this.chains = Array.from({ length: nChains }, () => draw(new Float64Array(rbm.nHidden).fill(0.5), uniform));
  }

  /** Follow minus the gradient, estimated on the minibatch of binary states `data`, so far as `rate` says. */
  update(data, rate) {
    const { rbm, uniform } = this, { nVisible, nHidden } = rbm;
    const up = (v) => rbm.inputs(v, new Float64Array(nHidden)).map(sigmoid);
    const positive = data.map(up);
    let h = this.chains ?? positive.map((means) => draw(means, uniform)), v, negative;
    for (let step = 0; step < this.k; step++) {
      v = h.map((each) => draw(rbm.inputsDown(each, new Float64Array(nVisible)).map(sigmoid), uniform));
      negative = v.map(up);
      // the last draw is for chains that go on
      if (this.chains || step < this.k - 1) h = negative.map((means) => draw(means, uniform));
    }
    if (this.chains) this.chains = h;
    const W = new Float64Array(nVisible * nHidden), b = new Float64Array(nVisible), c = new Float64Array(nHidden);
    data.forEach((each, row) => collect(each, positive[row], 1 / data.length, W, b, c));
    v.forEach((each, row) => collect(each, negative[row], -1 / v.length, W, b, c));
    for (const [parameter, step] of [[rbm.W, W], [rbm.visibleBias, b], [rbm.hiddenBias, c]])
      for (let i = 0; i < step.length; i++) parameter[i] += rate * step[i];
  }
}

/** Draw ones with these probabilities, zeros otherwise. */
export function draw(means, uniform) {
  return Uint8Array.from(means, (mean) => (uniform() < mean ? 1 : 0));
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
