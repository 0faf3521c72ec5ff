// The restricted Boltzmann machine of the companion, once more: what is drawn from the same uniform numbers is the same.
// Arrays are flat, row after row: W (nVisible, nHidden). Energies are in nats. Sums are in double precision.

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));
export const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export class RBM {
  constructor(W, visibleBias, hiddenBias) {
    Object.assign(this, { W, visibleBias, hiddenBias, nVisible: visibleBias.length, nHidden: hiddenBias.length });
  }

  /** Put the inputs x = v W + c of the hidden units into `x`, for one binary state v. */
  inputs(v, x) {
    const { W, nHidden } = this;
    x.set(this.hiddenBias);
    for (let i = 0; i < v.length; i++) {
      if (!v[i]) continue;
      for (let j = 0, k = i * nHidden; j < nHidden; j++, k++) x[j] += W[k];
    }
    return x;
  }

  /** Put the inputs a = W h + b of the visible units into `a`, for one binary state h. */
  inputsDown(h, a) {
    const { W, nHidden } = this, on = [];
    for (let j = 0; j < nHidden; j++) if (h[j]) on.push(j);
    for (let i = 0, k = 0; i < a.length; i++, k += nHidden) {
      let sum = this.visibleBias[i];
      for (const j of on) sum += W[k + j];
      a[i] = sum;
    }
    return a;
  }

  /** Free energy F(v) = -b·v - Σ log(1 + exp(x)), from a state and the inputs x that belong to it. */
  freeEnergy(v, x) {
    let energy = 0;
    for (let i = 0; i < v.length; i++) if (v[i]) energy -= this.visibleBias[i];
    for (let j = 0; j < x.length; j++) energy -= softplus(x[j]);
    return energy;
  }
}

/** Gibbs chains side by side. `uniform` returns the next number in [0, 1): first all hidden units, then all visible. */
export class Chains {
  constructor(rbm, starts, uniform) {
    Object.assign(this, { rbm, uniform, held: null, beta: 1, steps: 0 });
    this.chains = starts.map((start) => ({
      v: Uint8Array.from(start),
      h: new Uint8Array(rbm.nHidden),
      means: Float64Array.from(start), // that the visible units were drawn from
      hiddenMeans: new Float64Array(rbm.nHidden),
      x: rbm.inputs(start, new Float64Array(rbm.nHidden)),
      energy: NaN,
    }));
    for (const chain of this.chains) chain.energy = rbm.freeEnergy(chain.v, chain.x);
  }

  /** From now on hold the visible units where `held` at `values`; with null, none. */
  clamp(held, values) {
    this.held = held && held.some(Boolean) ? held : null;
    this.values = values;
    for (const chain of this.held ? this.chains : []) {
      this._hold(chain);
      this.rbm.inputs(chain.v, chain.x);
      chain.energy = this.rbm.freeEnergy(chain.v, chain.x);
    }
  }

  /** One step of every chain: h given v, then v given h, at the inverse temperature `beta`. */
  step() {
    const { rbm, uniform, beta } = this;
    for (const { x, h, hiddenMeans } of this.chains) {
      for (let j = 0; j < h.length; j++) {
        hiddenMeans[j] = sigmoid(beta * x[j]);
        h[j] = uniform() < hiddenMeans[j] ? 1 : 0;
      }
    }
    for (const chain of this.chains) {
      const { v, means } = chain;
      rbm.inputsDown(chain.h, means);
      for (let i = 0; i < v.length; i++) {
        means[i] = sigmoid(beta * means[i]);
        v[i] = uniform() < means[i] ? 1 : 0;
      }
      if (this.held) this._hold(chain);
      chain.energy = rbm.freeEnergy(v, rbm.inputs(v, chain.x));
    }
    this.steps++;
  }

  _hold({ v, means }) {
    for (let i = 0; i < v.length; i++) if (this.held[i]) v[i] = means[i] = this.values[i];
  }
}

/** Return all 2 ** n binary states of n units, the last unit changing fastest. */
export function states(n) {
  return Array.from({ length: 2 ** n }, (_, number) => Array.from({ length: n }, (_, i) => (number >> (n - 1 - i)) & 1));
}

/** Log Z by summing over all states of the hidden units; the visible ones are summed in closed form. */
export function exactLogPartition({ W, visibleBias, hiddenBias, nHidden }) {
  const a = Float64Array.from(visibleBias), terms = new Float64Array(2 ** nHidden), on = new Uint8Array(nHidden);
  let own = 0;
  for (let n = 0; n < terms.length; n++) {
    terms[n] = own;
    for (let i = 0; i < a.length; i++) terms[n] += softplus(a[i]);
    const unit = 31 - Math.clz32((n + 1) & -(n + 1)); // in this order (Gray's) one unit changes from state to state
    if (unit === nHidden) break; // all have been visited
    const sign = on[unit] ? -1 : 1;
    on[unit] ^= 1;
    own += sign * hiddenBias[unit];
    for (let i = 0, k = unit; i < a.length; i++, k += nHidden) a[i] += sign * W[k];
  }
  const most = terms.reduce((one, other) => Math.max(one, other));
  return most + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - most), 0));
}

/** Return p(v, h) at an inverse temperature: a row for each v, a column for each h, in the order of `states`. */
export function exactTable({ W, visibleBias, hiddenBias }, beta = 1) {
  const rbm = new RBM(...[W, visibleBias, hiddenBias].map((each) => Float64Array.from(each, (value) => beta * value)));
  const logZ = exactLogPartition(rbm), x = new Float64Array(rbm.nHidden);
  return states(rbm.nVisible).map((v) => {
    const own = v.reduce((sum, on, i) => sum + on * rbm.visibleBias[i], 0);
    rbm.inputs(v, x);
    return states(rbm.nHidden).map((h) => Math.exp(own + h.reduce((sum, on, j) => sum + on * x[j], 0) - logZ));
  });
}
