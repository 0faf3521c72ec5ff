// The machine that the book ships: 784 visible and 500 hidden units, in half precision, fetched where it is needed.

import { RBM } from "./rbm.js";

/** Fetch the machine; its file holds W (784, 500), the visible and the hidden biases, one after the other. */
export async function fetchMachine(nVisible = 784, nHidden = 500) {
  const answer = await fetch(new URL("rbm.f16", import.meta.url));
  if (!answer.ok) throw new Error(`the machine's weights: ${answer.status} ${answer.statusText}`);
  const halves = new Uint16Array(await answer.arrayBuffer());
  const size = nVisible * nHidden;
  if (halves.length !== size + nVisible + nHidden) throw new Error("the machine's weights are not whole");
  const all = Float32Array.from(halves, single);
  return new RBM(all.subarray(0, size), all.subarray(size, size + nVisible), all.subarray(size + nVisible));
}

/** Return the number whose half-precision bits (IEEE 754) are given. */
export function single(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}
