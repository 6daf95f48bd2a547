/** How numbers are written, as `m3jax.formatting` writes them. */

export const MISSING = "–";
const SUFFIXES = ["", "K", "M", "B", "T"];

const bad = (x: number | null | undefined): x is null | undefined =>
  x == null || !Number.isFinite(x);

/** Like Python's "{:.3g}". */
export function brief(x: number, digits = 3): string {
  if (x === 0) return "0";
  const power = Math.floor(Math.log10(Math.abs(Number(x.toPrecision(digits)))));
  if (power < -4 || power >= digits) {
    const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
    const sign = exponent.startsWith("-") ? "-" : "+";
    const size = exponent.replace(/^[+-]/, "").padStart(2, "0");
    return `${mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa}e${sign}${size}`;
  }
  return String(Number(x.toPrecision(digits)));
}

export function count(x: number | null | undefined): string {
  if (bad(x)) return MISSING;
  const rounded = Number(x.toPrecision(3));
  if (Math.abs(rounded) < 1000) return brief(rounded);
  const power = Math.min(Math.floor(Math.log10(Math.abs(rounded)) / 3 + 1e-9), SUFFIXES.length - 1);
  const scaled = rounded / 1000 ** power;
  return (Math.abs(scaled) >= 100 ? scaled.toFixed(0) : scaled.toPrecision(3)) + SUFFIXES[power];
}

export const flop = (x: number | null | undefined) => (bad(x) ? MISSING : brief(x));

export function ratio(x: number | null | undefined): string {
  if (bad(x)) return MISSING;
  if (Math.abs(x) >= 99.95) return x.toFixed(0);
  return Math.abs(x) < 1e-4 ? brief(x) : x.toPrecision(3);
}

export const loss = (x: number | null | undefined) => (bad(x) ? MISSING : x.toFixed(4));
export const share = (x: number | null | undefined) =>
  bad(x) ? MISSING : `${(100 * x).toFixed(0)}%`;
export const percent = (x: number | null | undefined) =>
  bad(x) ? MISSING : `${(100 * x).toFixed(2)}%`;
export const part = (x: number) => `${brief(100 * x)}%`;
export const level = (x: number) => `${Number((100 * x).toPrecision(6))}%`;

export function span(
  ends: [number, number] | null | undefined,
  write: (x: number) => string,
): string {
  return ends ? `${write(ends[0])}–${write(ends[1])}` : MISSING;
}
