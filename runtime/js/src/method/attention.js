/**
 * Passes' attention to an image: `{ attention, steps, layers, tokens }`, with steps * layers * tokens
 * numbers; `layers` lists the decoder layers whose rows they are.
 */

/** Return a pass with the rows of some of its layers alone. */
export function rowsOf({ attention, steps, layers, tokens }, chosen) {
  const rows = chosen.map((layer) => layers.indexOf(layer));
  const cut = new Float32Array(steps * rows.length * tokens);
  for (let step = 0; step < steps; step++) {
    for (const [to, from] of rows.entries()) {
      const start = (step * layers.length + from) * tokens;
      cut.set(attention.subarray(start, start + tokens), (step * rows.length + to) * tokens);
    }
  }
  return { attention: cut, steps, layers: chosen, tokens };
}

/** Return the mean entropy of the last step's rows in nats, each row summing to 1 (paper, 3.2). */
export function attentionEntropy({ attention, steps, layers, tokens }) {
  let entropy = 0;
  for (let layer = 0; layer < layers.length; layer++) {
    const start = ((steps - 1) * layers.length + layer) * tokens;
    entropy += entropyOf(attention.subarray(start, start + tokens));
  }
  return entropy / layers.length;
}

/** Return the entropy of a row in nats, as if it summed to 1. */
export function entropyOf(row) {
  const sum = Math.max(
    row.reduce((total, value) => total + value, 0),
    Number.MIN_VALUE,
  );
  let entropy = 0;
  for (const value of row) if (value > 0) entropy -= (value / sum) * Math.log(value / sum);
  return entropy;
}
