/** Laws come as lists of operations, which are made functions here: the page knows no formula. */

import type { Listing } from "./data";

type Writer = (...x: string[]) => string;

const OPERATIONS: Record<string, Writer> = {
  abs: (x) => `Math.abs(${x})`,
  add: (x, y) => `${x}+${y}`,
  add_any: (x, y) => `${x}+${y}`,
  and: (x, y) => `(${x}&&${y})`,
  "as bool": (x) => `!!${x}`,
  "as float64": (x) => `+${x}`,
  cbrt: (x) => `Math.cbrt(${x})`,
  clamp: (low, x, high) => `Math.min(Math.max(${x},${low}),${high})`,
  cos: (x) => `Math.cos(${x})`,
  cosh: (x) => `Math.cosh(${x})`,
  div: (x, y) => `${x}/${y}`,
  eq: (x, y) => `${x}==${y}`,
  exp: (x) => `Math.exp(${x})`,
  exp2: (x) => `2**${x}`,
  expm1: (x) => `Math.expm1(${x})`,
  ge: (x, y) => `${x}>=${y}`,
  gt: (x, y) => `${x}>${y}`,
  is_finite: (x) => `Number.isFinite(${x})`,
  le: (x, y) => `${x}<=${y}`,
  log: (x) => `Math.log(${x})`,
  log1p: (x) => `Math.log1p(${x})`,
  logistic: (x) => `1/(1+Math.exp(-${x}))`,
  lt: (x, y) => `${x}<${y}`,
  max: (x, y) => `Math.max(${x},${y})`,
  min: (x, y) => `Math.min(${x},${y})`,
  mul: (x, y) => `${x}*${y}`,
  ne: (x, y) => `${x}!=${y}`,
  neg: (x) => `-${x}`,
  not: (x) => `!${x}`,
  or: (x, y) => `(${x}||${y})`,
  pow: (x, y) => `${x}**${y}`,
  rsqrt: (x) => `1/Math.sqrt(${x})`,
  select_n: (which, no, yes) => `${which}?${yes}:${no}`,
  sign: (x) => `Math.sign(${x})`,
  sin: (x) => `Math.sin(${x})`,
  sinh: (x) => `Math.sinh(${x})`,
  sqrt: (x) => `Math.sqrt(${x})`,
  square: (x) => `${x}*${x}`,
  sub: (x, y) => `${x}-${y}`,
  tan: (x) => `Math.tan(${x})`,
  tanh: (x) => `Math.tanh(${x})`,
};

function written(name: string, operands: string[]): string {
  if (name.startsWith("to the ")) return `${operands[0]}**${name.slice(7)}`;
  const write = OPERATIONS[name];
  if (!write) throw new Error(`the page does not know the operation ${name}`);
  return write(...operands);
}

/**
 * The first `count` of what a listing returns, as a function that writes them into `out`.
 *
 * Arguments are the coefficients, (p,), and the six numbers that the law is asked at.
 */
export type Evaluate = (theta: ArrayLike<number>, x: ArrayLike<number>, out: Float64Array) => void;

export function compiled(listing: Listing, coefficients: number, count: number): Evaluate {
  const wanted = listing.out.slice(0, count);
  const needed = new Set(wanted);
  const steps = [...listing.steps].reverse().filter(([, place, ...operands]) => {
    if (!needed.has(place)) return false;
    operands.forEach((operand) => needed.add(operand));
    return true;
  });
  const numbers = new Map(listing.numbers);
  const argumentsEnd = coefficients + 6;
  const value = (place: number): string => {
    const number = numbers.get(place);
    if (number === undefined) return place < argumentsEnd ? `a${place}` : `v${place}`;
    return `(${Number(number)})`; // as text where it is none in JSON
  };
  const lines: string[] = [];
  for (let place = 0; place < argumentsEnd; place++) {
    if (!needed.has(place)) continue;
    lines.push(
      place < coefficients
        ? `const a${place}=theta[${place}];`
        : `const a${place}=x[${place - coefficients}];`,
    );
  }
  for (const [name, place, ...operands] of steps.reverse()) {
    lines.push(`const v${place}=${written(name, operands.map(value))};`);
  }
  wanted.forEach((place, i) => lines.push(`out[${i}]=${value(place)};`));
  return new Function("theta", "x", "out", lines.join("\n")) as Evaluate;
}
