/**
 * The best recipe of each regime, by Newton's method with logarithmic barriers from several starts.
 *
 * Python proves its recipes; this search only finds them again where a reader moves a limit. A test
 * holds the two against each other.
 */

import type { Evaluate } from "./program";
import {
  addBend,
  asRead,
  limitsOf,
  MONOLINGUAL,
  SINGLE_STAGE,
  slack,
  TWO_STAGE,
  type Limit,
  type Question,
} from "./question";

const HELD = 1e-9; // limits closer than this hold what is between them
const RELAXED = 1e-9; // in log units, so that what is held from several sides has an inside
const SHARPEST = 1e-10; // barrier
const TIE = 1e-7; // log loss by which a regime must beat a simpler one
const STARTS = 64;
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

/** A face of the problem in its free directions: z = origin + axes·w. */
interface Face {
  q: Question;
  regime: number;
  inPart: boolean;
  limits: Limit[];
  origin: Float64Array;
  axes: Float64Array[];
}

export function solve(law: LawFunctions, theta: ArrayLike<number>, q: Question, near?: Solved): Solved {
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

/** The free directions of a regime; the names of limits that cannot be kept where there is none. */
function faceOf(q: Question, regime: number, inPart: boolean): Face | string[] {
  if (!inPart && (q.high[1] < 0 || Math.exp(q.logTokens) < q.leastTokens * (1 - HELD))) {
    return ["lowest epochs"];
  }
  const all = limitsOf(q, regime, inPart);
  const equalities: { a: number[]; side: number }[] = [];
  if (regime === MONOLINGUAL) {
    equalities.push({ a: [0, 0, 1, 0], side: 0 }, { a: [0, 0, 0, 1], side: 0 });
  } else if (regime === SINGLE_STAGE) {
    equalities.push({ a: [0, 0, -1, 1], side: 0 });
  }
  for (let i = 0; i < all.length; i++) {
    for (let j = i + 1; j < all.length; j++) {
      const [one, other] = [all[i], all[j]];
      if (one.bent || other.bent || one.a.some((x, m) => x !== -other.a[m])) continue;
      const width = one.side + other.side;
      if (width < -HELD) return [one.name, other.name];
      if (width <= 2 * HELD) equalities.push({ a: one.a, side: one.side - width / 2 });
    }
  }
  const solved = affine(equalities);
  if (!solved) return ["n_params"];
  const { origin, axes } = solved;
  const limits: Limit[] = [];
  const g = new Float64Array(4);
  for (const limit of all) {
    const moved = limit.bent
      ? axes.some((axis) => axis.some((x, i) => x !== 0 && (i === 1 || i === 2 || (i === 0 && limit.bent === "serving"))))
      : axes.some((axis) => Math.abs(dot(limit.a, axis)) > 1e-12);
    if (moved) limits.push({ ...limit, side: limit.side + (limit.bent === "source" ? 0 : RELAXED) });
    else if (slack(limit, origin, g) < -1e-7) return [limit.name];
  }
  return { q, regime, inPart, limits, origin, axes };
}

/** All z that keep some equalities a·z = side: a point, and unit directions that are left free. */
function affine(equalities: { a: number[]; side: number }[]) {
  const rows = equalities.map(({ a, side }) => [...a, side]);
  const pivots: number[] = [];
  let rank = 0;
  for (const column of [3, 2, 1, 0]) {
    const at = rows.slice(rank).reduce((best, row, i) => (Math.abs(row[column]) > Math.abs(rows[best][column]) ? i + rank : best), rank);
    if (rank >= rows.length || Math.abs(rows[at][column]) < 1e-12) continue;
    [rows[rank], rows[at]] = [rows[at], rows[rank]];
    const pivot = rows[rank];
    const scale = pivot[column];
    pivot.forEach((x, i) => (pivot[i] = x / scale));
    rows.forEach((row, i) => {
      if (i === rank || row[column] === 0) return;
      const factor = row[column];
      row.forEach((x, m) => (row[m] = x - factor * pivot[m]));
    });
    pivots.push(column);
    rank++;
  }
  if (rows.slice(rank).some((row) => Math.abs(row[4]) > 1e-7)) return null;
  const origin = new Float64Array(4);
  pivots.forEach((column, i) => (origin[column] = rows[i][4]));
  const axes: Float64Array[] = [];
  for (let free = 0; free < 4; free++) {
    if (pivots.includes(free)) continue;
    const axis = new Float64Array(4);
    axis[free] = 1;
    pivots.forEach((column, i) => (axis[column] = -rows[i][free]));
    axes.push(axis);
  }
  return { origin, axes };
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function place(face: Face, w: Float64Array): Float64Array {
  const z = Float64Array.from(face.origin);
  face.axes.forEach((axis, j) => {
    for (let i = 0; i < 4; i++) z[i] += axis[i] * w[j];
  });
  return z;
}

const scratch = new Float64Array(4);

function leastSlack(face: Face, w: Float64Array): number {
  const z = place(face, w);
  return face.limits.reduce((least, limit) => Math.min(least, slack(limit, z, scratch)), Infinity);
}

/** A point inside all limits, or the names of those that clash. */
function insideOf(face: Face): Float64Array | string[] {
  const d = face.axes.length;
  if (!d) return new Float64Array(0);
  // The largest least slack, no more than 1: minimise t with slack + t >= 0.
  const w = new Float64Array(d + 1);
  face.axes.forEach((axis, j) => {
    const i = axis.findIndex((x) => x === 1);
    const ends = face.limits.filter((l) => !l.bent && l.a.every((x, m) => (m === i) === (x !== 0)));
    const low = ends.find((l) => l.a[i] < 0);
    const high = ends.find((l) => l.a[i] > 0);
    const [from, to] = [low ? -low.side : NaN, high ? high.side : NaN];
    w[j] = Number.isFinite(from + to) ? (from + to) / 2 : Number.isFinite(from) ? from + 1 : Number.isFinite(to) ? to - 1 : 0;
  });
  w[d] = Math.max(1 - leastSlack(face, w.slice(0, d)), -1);
  const m = d + 1;
  const g = new Float64Array(4);
  const value = (x: Float64Array, sharp: number): number => {
    const z = place(face, x.subarray(0, d) as Float64Array);
    let sum = x[d] / sharp - Math.log(x[d] + 2); // t stays above −2
    if (x[d] <= -2) return Infinity;
    for (const limit of face.limits) {
      const left = slack(limit, z, g) + x[d];
      if (!(left > 0)) return Infinity;
      sum -= Math.log(left);
    }
    return sum;
  };
  let multipliers: [string, number][] = [];
  for (let sharp = 1; sharp > 1e-11; sharp *= 0.1) {
    for (let step = 0; step < 40; step++) {
      const z = place(face, w.subarray(0, d) as Float64Array);
      const gradient = new Float64Array(m);
      const hessian = new Float64Array(m * m);
      gradient[d] = 1 / sharp - 1 / (w[d] + 2);
      hessian[d * m + d] = 1 / (w[d] + 2) ** 2;
      multipliers = [];
      for (const limit of face.limits) {
        const left = slack(limit, z, g) + w[d];
        multipliers.push([limit.name, sharp / left]);
        const row = new Float64Array(m);
        face.axes.forEach((axis, j) => (row[j] = dot(g, axis)));
        row[d] = 1;
        for (let i = 0; i < m; i++) {
          gradient[i] -= row[i] / left;
          for (let j = 0; j < m; j++) hessian[i * m + j] += (row[i] * row[j]) / left ** 2;
        }
      }
      const move = newton(hessian, gradient, m);
      const slope = dot(gradient, move);
      if (slope > -1e-6) break;
      const here = value(w, sharp);
      let length = 1;
      const next = new Float64Array(m);
      for (; length > 1e-12; length /= 2) {
        for (let i = 0; i < m; i++) next[i] = w[i] + length * move[i];
        if (value(next, sharp) < here + 0.1 * length * slope) break;
      }
      if (length <= 1e-12) break;
      w.set(next);
    }
    if (w[d] < -0.02) break; // well inside
  }
  const inside = w.slice(0, d);
  if (leastSlack(face, inside) > 0) return inside;
  const most = Math.max(...multipliers.map(([, x]) => x));
  return [...new Set(multipliers.filter(([, x]) => x > 0.01 * most).map(([name]) => name))];
}

/** −H⁻¹ g, with H made positive definite where it is not. */
function newton(hessian: Float64Array, gradient: Float64Array, d: number): Float64Array {
  let most = 0;
  for (let i = 0; i < d; i++) most = Math.max(most, Math.abs(hessian[i * d + i]));
  for (let ridge = 0; ; ridge = Math.max(ridge * 10, most * 1e-12 || 1e-12)) {
    const factor = cholesky(hessian, ridge, d);
    if (!factor) continue;
    const x = new Float64Array(d);
    for (let i = 0; i < d; i++) {
      let sum = -gradient[i];
      for (let j = 0; j < i; j++) sum -= factor[i * d + j] * x[j];
      x[i] = sum / factor[i * d + i];
    }
    for (let i = d - 1; i >= 0; i--) {
      let sum = x[i];
      for (let j = i + 1; j < d; j++) sum -= factor[j * d + i] * x[j];
      x[i] = sum / factor[i * d + i];
    }
    return x;
  }
}

function cholesky(a: Float64Array, ridge: number, d: number): Float64Array | null {
  const factor = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * d + j] + (i === j ? ridge : 0);
      for (let k = 0; k < j; k++) sum -= factor[i * d + k] * factor[j * d + k];
      if (i !== j) factor[i * d + j] = sum / factor[j * d + j];
      // Of a sum that cancels only its rounding error would be left.
      else if (sum > 1e-14 * Math.abs(a[i * d + i])) factor[i * d + i] = Math.sqrt(sum);
      else if (!Number.isFinite(sum) && ridge > 1e300) return factor;
      else return null;
    }
  }
  return factor;
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

function logLossAt(law: LawFunctions, theta: ArrayLike<number>, face: Face, z: Float64Array): number {
  law.value(theta, argumentAt(face, z), found);
  return Number.isNaN(found[0]) ? Infinity : found[0];
}

/** Log loss at z, with its gradient (4) and Hessian (4, 4) in z. */
function derivatives(
  law: LawFunctions, theta: ArrayLike<number>, face: Face, z: Float64Array,
  gradient: Float64Array, hessian: Float64Array,
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
  law: LawFunctions, theta: ArrayLike<number>, face: Face, start: Float64Array, blunt: number,
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
          for (let a = 0; a < 4; a++) for (let b = 0; b < 4; b++) sum += axis[a] * other[b] * full.hessian[4 * a + b];
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
  law: LawFunctions, theta: ArrayLike<number>, face: Face, inside: Float64Array,
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

/** Points inside all limits, each a random step from the last (hit and run). */
function walk(face: Face, inside: Float64Array): Float64Array[] {
  const d = face.axes.length;
  const random = numbers(1);
  const points: Float64Array[] = [];
  let w = inside;
  for (let n = 0; d && n < STARTS; n++) {
    const direction = Float64Array.from({ length: d }, () => random() - 0.5);
    const from = w;
    const reach = (sign: number) => {
      let length = 30;
      const at = new Float64Array(d);
      for (; length > 1e-6; length *= 0.6) {
        for (let i = 0; i < d; i++) at[i] = from[i] + sign * length * direction[i];
        if (leastSlack(face, at) > 0) return length;
      }
      return 0;
    };
    const [back, forth] = [reach(-1), reach(1)];
    const step = -back + (back + forth) * (0.02 + 0.96 * random());
    w = from.map((x, i) => x + step * direction[i]);
    if (leastSlack(face, w) > 0) points.push(w);
    else w = from;
  }
  return points;
}

/** The same numbers from 0 to 1 every time (mulberry32). */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A point inside a face near z, which may lie on its edge. */
function towards(face: Face, z: Float64Array, inside: Float64Array): Float64Array {
  const free = face.axes.map((axis) => axis.findIndex((x) => x === 1));
  for (let share = 0.02; share < 1; share *= 2) {
    const w = inside.map((x, j) => share * x + (1 - share) * (z[free[j]] - face.origin[free[j]]));
    if (leastSlack(face, w) > 0) return w;
  }
  return inside;
}
