/**
 * A regime's recipes that keep all limits: its free directions, and points inside.
 */

import { newton } from "./newton";
import { limitsOf, MONOLINGUAL, SINGLE_STAGE, slack, type Limit, type Question } from "./question";

export const HELD = 1e-9; // limits closer than this hold what is between them
const RELAXED = 1e-9; // in log units, so that what is held from several sides has an inside
const STARTS = 64;

/** A face of the problem in its free directions: z = origin + axes·w. */
export interface Face {
  q: Question;
  regime: number;
  inPart: boolean;
  limits: Limit[];
  origin: Float64Array;
  axes: Float64Array[];
}

/** The free directions of a regime; the names of limits that cannot be kept where there is none. */
export function faceOf(q: Question, regime: number, inPart: boolean): Face | string[] {
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
      ? axes.some((axis) =>
          axis.some(
            (x, i) => x !== 0 && (i === 1 || i === 2 || (i === 0 && limit.bent === "serving")),
          ),
        )
      : axes.some((axis) => Math.abs(dot(limit.a, axis)) > 1e-12);
    if (moved)
      limits.push({ ...limit, side: limit.side + (limit.bent === "source" ? 0 : RELAXED) });
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
    const at = rows
      .slice(rank)
      .reduce(
        (best, row, i) => (Math.abs(row[column]) > Math.abs(rows[best][column]) ? i + rank : best),
        rank,
      );
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

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export function place(face: Face, w: Float64Array): Float64Array {
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
export function insideOf(face: Face): Float64Array | string[] {
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
    w[j] = Number.isFinite(from + to)
      ? (from + to) / 2
      : Number.isFinite(from)
        ? from + 1
        : Number.isFinite(to)
          ? to - 1
          : 0;
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

/** Points inside all limits, each a random step from the last (hit and run). */
export function walk(face: Face, inside: Float64Array): Float64Array[] {
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
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A point inside a face near z, which may lie on its edge. */
export function towards(face: Face, z: Float64Array, inside: Float64Array): Float64Array {
  const free = face.axes.map((axis) => axis.findIndex((x) => x === 1));
  for (let share = 0.02; share < 1; share *= 2) {
    const w = inside.map((x, j) => share * x + (1 - share) * (z[free[j]] - face.origin[free[j]]));
    if (leastSlack(face, w) > 0) return w;
  }
  return inside;
}
