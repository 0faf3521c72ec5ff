// Uniform random numbers that follow from a seed.

/** Return a function that returns uniform numbers in [0, 1), with 32 bits each: sfc32 (C. Doty-Humphrey, PractRand). */
export function random(seed) {
  let a = 0, b = seed >>> 0, c = Math.floor(seed / 2 ** 32) >>> 0, counter = 1;
  function uniform() {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 2 ** 32;
  }
  for (let i = 0; i < 15; i++) uniform(); // until the seed has reached every bit
  return uniform;
}

/** Return two independent numbers of the standard normal distribution (Box and Muller, 1958). */
export function normals(uniform) {
  const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}
