/**
 * The best recipe of each regime, by Newton's method with logarithmic barriers from several starts.
 *
 * Python proves its recipes; this search only finds them again where a reader moves a limit. A test
 * holds the two against each other.
 */

import { dot, faceOf, HELD, insideOf, place, towards, walk, type Face } from "./face";
import { newton } from "./newton";
import type { Evaluate } from "./program";
import { addBend, asRead, slack, TWO_STAGE, type Question } from "./question";

const SHARPEST = 1e-10; // barrier
const TIE = 1e-7; // log loss by which a regime must beat a simpler one
const DESCENTS = 3;

/** A law with its second derivatives, at coefficients and (n, t, e, r, f, share): 21 numbers. */
export interface LawFunctions {
  value: Evaluate;
  all: Evaluate;
}

export interface Optimum {
  z: Float64Array;
  logLoss: number;
  multipliers: Map<string, number>;
  inPart: boolean;
}

export interface Solved {
  optima: (Optimum | null)[]; // by regime
  blame: string[]; // limits that clash, where nothing is allowed
}

export function solve(
  law: LawFunctions,
  theta: ArrayLike<number>,
  q: Question,
  near?: Solved,
): Solved {
  const optima: (Optimum | null)[] = [null, null, null];
  let blame: string[] = [];
  for (const regime of q.regimes) {
    const before = near?.optima[regime];
    if (near && !before) continue;
    for (const inPart of [false, true]) {
      if (before && before.inPart !== inPart) continue;
      for (const size of sizesOf(q, before)) {
        const face = faceOf(size, regime, inPart);
        if (Array.isArray(face)) {
          blame = blame.length ? blame : face;
          continue;
        }
        const inside = insideOf(face);
        if (!(inside instanceof Float64Array)) {
          if (inPart || !blame.length) blame = inside;
          continue;
        }
        const found = before
          ? descend(law, theta, face, towards(face, before.z, inside), 1e-4)
          : fromManyStarts(law, theta, face, inside);
        const best = optima[regime];
        // Where it makes no difference, all of the text is read.
        if (found && (!best || found.logLoss + (inPart ? 1e-10 : 0) < best.logLoss)) {
          optima[regime] = found;
        }
      }
    }
  }
  return { optima, blame };
}

/** The regime that is best, the simpler one of equals; −1 where none is allowed. */
export function bestRegime(logLoss: number[]): number {
  let best = -1;
  let lowest = Infinity;
  logLoss.forEach((loss, regime) => {
    if (loss < (best < 0 ? Infinity : lowest - TIE)) {
      best = regime;
      lowest = loss;
    }
  });
  return best;
}

/** The question at each size of a ladder; of one that is nearly answered those beside the answer. */
function sizesOf(q: Question, before?: Optimum | null): Question[] {
  if (!q.ladder) return [q];
  let sizes = q.ladder.map(Math.log).filter((n) => n >= q.low[0] - HELD && n <= q.high[0] + HELD);
  if (before) {
    const at = sizes.findIndex((n) => Math.abs(n - before.z[0]) < 1e-6);
    sizes = sizes.slice(Math.max(at - 1, 0), at + 2);
  }
  return sizes.map((n) => ({ ...q, low: [n, ...q.low.slice(1)], high: [n, ...q.high.slice(1)] }));
}

const argument = new Float64Array(6);
const found = new Float64Array(21);

/** Where the law is asked at z: (n, t, e, r, f, share). */
function argumentAt(face: Face, z: Float64Array): Float64Array {
  const [tokens, epochs] = asRead(face.q, z[1]);
  argument[0] = z[0];
  argument[1] = Math.log(tokens);
  argument[2] = Math.log(epochs);
  argument[3] = z[2];
  argument[4] = z[3];
  argument[5] = face.regime === TWO_STAGE ? face.q.firstShare : 1;
  return argument;
}

function logLossAt(
  law: LawFunctions,
  theta: ArrayLike<number>,
  face: Face,
  z: Float64Array,
): number {
  law.value(theta, argumentAt(face, z), found);
  return Number.isNaN(found[0]) ? Infinity : found[0];
}

/** Log loss at z, with its gradient (4) and Hessian (4, 4) in z. */
function derivatives(
  law: LawFunctions,
  theta: ArrayLike<number>,
  face: Face,
  z: Float64Array,
  gradient: Float64Array,
  hessian: Float64Array,
): number {
  law.all(theta, argumentAt(face, z), found);
  // Of (n, t, e, r, f) those that move with z: k is t where a part of the text is read, else e.
  const at = [0, face.inPart ? 1 : 2, 3, 4];
  for (let i = 0; i < 4; i++) {
    gradient[i] = found[1 + at[i]];
    for (let j = 0; j <= i; j++) {
      const [row, column] = at[i] >= at[j] ? [at[i], at[j]] : [at[j], at[i]];
      hessian[4 * i + j] = hessian[4 * j + i] = found[6 + (row * (row + 1)) / 2 + column];
    }
  }
  return found[0];
}

/** Newton's method along the central path from a point inside. */
function descend(
  law: LawFunctions,
  theta: ArrayLike<number>,
  face: Face,
  start: Float64Array,
  blunt: number,
): Optimum | null {
  const d = face.axes.length;
  let w = Float64Array.from(start);
  const full = { gradient: new Float64Array(4), hessian: new Float64Array(16) };
  const g = new Float64Array(4);
  const merit = (x: Float64Array, sharp: number): number => {
    const z = place(face, x);
    let sum = 0;
    for (const limit of face.limits) {
      const left = slack(limit, z, g);
      if (!(left > 0)) return Infinity;
      sum -= sharp * Math.log(left);
    }
    return sum + logLossAt(law, theta, face, z);
  };
  for (let sharp = blunt; d && sharp >= SHARPEST; sharp *= 0.1) {
    for (let step = 0; step < 30; step++) {
      const z = place(face, w);
      derivatives(law, theta, face, z, full.gradient, full.hessian);
      for (const limit of face.limits) {
        const left = slack(limit, z, g);
        addBend(limit, z, -sharp / left, full.hessian);
        for (let i = 0; i < 4; i++) {
          full.gradient[i] -= (sharp * g[i]) / left;
          for (let j = 0; j < 4; j++) full.hessian[4 * i + j] += (sharp * g[i] * g[j]) / left ** 2;
        }
      }
      const gradient = new Float64Array(d);
      const hessian = new Float64Array(d * d);
      face.axes.forEach((axis, i) => {
        gradient[i] = dot(full.gradient, axis);
        face.axes.forEach((other, j) => {
          let sum = 0;
          for (let a = 0; a < 4; a++)
            for (let b = 0; b < 4; b++) sum += axis[a] * other[b] * full.hessian[4 * a + b];
          hessian[i * d + j] = sum;
        });
      });
      const move = newton(hessian, gradient, d);
      const slope = dot(gradient, move);
      if (!(slope < -0.01 * sharp)) break;
      const here = merit(w, sharp);
      const longest = Math.max(...move.map(Math.abs));
      let length = Math.min(1, 3 / longest);
      const next = new Float64Array(d);
      for (; length > 1e-10; length *= 0.4) {
        for (let i = 0; i < d; i++) next[i] = w[i] + length * move[i];
        if (merit(next, sharp) < here + 0.1 * length * slope) break;
      }
      if (length <= 1e-10) break;
      w = next.slice();
    }
  }
  const z = place(face, w);
  const logLoss = logLossAt(law, theta, face, z);
  if (!Number.isFinite(logLoss)) return null;
  const multipliers = new Map<string, number>();
  for (const limit of face.limits) multipliers.set(limit.name, SHARPEST / slack(limit, z, g));
  return { z, logLoss, multipliers, inPart: face.inPart };
}

/** From what is best among points all over the inside, and from its middle. */
function fromManyStarts(
  law: LawFunctions,
  theta: ArrayLike<number>,
  face: Face,
  inside: Float64Array,
): Optimum | null {
  const points = [inside, ...walk(face, inside)];
  const ranked = points
    .map((w) => ({ w, loss: logLossAt(law, theta, face, place(face, w)) }))
    .sort((a, b) => a.loss - b.loss);
  let best: Optimum | null = null;
  for (const w of [inside, ...ranked.slice(0, DESCENTS).map((point) => point.w)]) {
    const found = descend(law, theta, face, w, 1e-2);
    if (found && (!best || found.logLoss < best.logLoss)) best = found;
    if (!face.axes.length) break;
  }
  return best;
}
