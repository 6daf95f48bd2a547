/**
 * What is asked, and which recipes are allowed: limits on z = (log N, log k, log r, log r_f).
 *
 * The same as `m3jax.optimization.solvers`: a regime is a face of the space of recipes, and has two
 * faces more: all text at hand is read, in e^k epochs, or a part of it, as few times as is allowed.
 */

import type { Language, Page } from "./data";

export const MONOLINGUAL = 0;
export const SINGLE_STAGE = 1;
export const TWO_STAGE = 2;
export const REGIMES = ["monolingual", "one stage", "two stages"];

/** What the reader may change. */
export interface Asked {
  compute: number;
  targetTokens: number;
  sourceTokens: number; // Infinity without a cap
  maxEpochs: number;
  maxParams: number;
}

export interface Recipe {
  nParams: number;
  targetTokens: number; // that are read
  epochs: number;
  targetRatio: number;
  finalRatio: number;
  firstRatio: number;
}

export interface Question {
  language: Language;
  compute: number;
  logTokens: number; // that may be read
  atHand: number;
  low: number[]; // logarithms, of n_params, epochs, target_ratio, final_ratio
  high: number[];
  leastTokens: number;
  stage: [number, number];
  firstShare: number;
  firstRatio: number;
  totalTokens: number;
  sourceTokens: number;
  inferenceTokens: number;
  gpuFlops: number;
  ladder: number[] | null;
  regimes: number[];
}

/** Parameters of the compute-optimal model of one language and one epoch, 20 tokens each. */
export const optimalSize = (compute: number) => Math.sqrt(compute / 6 / 20);

export function questionOf(page: Page, language: Language, asked: Asked): Question {
  const passes = Math.min(language.high[1], asked.maxEpochs);
  const cap = language.text[1] ?? Infinity;
  const read = Math.min(asked.targetTokens * Math.min(passes, 1), cap);
  const low = [language.low[0], Math.max(language.low[1], 1), language.low[2], language.low[3]];
  const high = [
    Math.min(
      language.high[0],
      asked.maxParams,
      (page.limits.timesOptimal ?? Infinity) * optimalSize(asked.compute),
    ),
    Math.max(passes, 1),
    language.high[2],
    language.high[3],
  ];
  const limits = page.limits;
  return {
    language,
    compute: asked.compute,
    logTokens: Math.log(read),
    atHand: asked.targetTokens,
    low: low.map(Math.log),
    high: high.map(Math.log),
    leastTokens: language.text[0],
    stage: language.stage,
    firstShare: language.firstShare,
    firstRatio: limits.firstRatio,
    totalTokens: language.maxTotalTokens ?? Infinity,
    sourceTokens: asked.sourceTokens,
    inferenceTokens: limits.inferenceTokens,
    gpuFlops: limits.gpuFlops ?? Infinity,
    ladder: limits.ladder,
    regimes: language.regimes,
  };
}

/** A limit: what is left of it at z, >= 0 where it is kept. */
export interface Limit {
  name: string;
  /** slack = side - a·z, plus what `bent` adds. */
  a: number[];
  side: number;
  bent?: "source" | "serving";
  serving?: number;
}

/** Of softplus(x) = log(1 + e^x): value, first and second derivative. */
export function softplus(x: number): [number, number, number] {
  const s = x > 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
  return [Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), s, s * (1 - s)];
}

export function fewestPasses(q: Question): number {
  return Math.min(Math.max(0, q.low[1]), q.high[1]);
}

const BINDS_TWO_STAGES = /(stage_fraction|first_ratio|final_ratio)$/;

function canBind(name: string, regime: number): boolean {
  if (BINDS_TWO_STAGES.test(name)) return regime === TWO_STAGE;
  return regime !== MONOLINGUAL || !(name.endsWith("ratio") || name === "source_tokens");
}

/** The limits of a regime's face; those that are not there are left out. */
export function limitsOf(q: Question, regime: number, inPart: boolean): Limit[] {
  const t = q.logTokens;
  const fewest = fewestPasses(q);
  const share = q.firstShare;
  const limits: Limit[] = [];
  const add = (name: string, a: number[], side: number, more: Partial<Limit> = {}) => {
    if (side < Infinity && canBind(name, regime)) limits.push({ name, a, side, ...more });
  };
  const budget = Math.log(q.compute / 6) - t;
  if (q.inferenceTokens > 0) {
    const serving = Math.log(q.inferenceTokens / 3) - t;
    add("compute", [1, 0, 0, 0], budget, { bent: "serving", serving });
  } else {
    add("compute", [1, 1, -1, 0], budget);
  }
  add("gpu_hours", [1, 1, -1, 0], Math.log(q.gpuFlops / 6) - t);
  add("total_tokens", [0, 1, -1, 0], Math.log(q.totalTokens) - t);
  if (q.sourceTokens < Infinity) {
    add("source_tokens", [0, 0, -1, 0], Math.log(q.sourceTokens) - t, { bent: "source" });
  }
  const names = ["n_params", "epochs", "target_ratio", "final_ratio"];
  names.forEach((name, j) => {
    const along = (sign: number) => names.map((_, i) => (i === j ? sign : 0));
    let [low, high] = [q.low[j], q.high[j]];
    if (name === "epochs") {
      [low, high] = inPart ? [Math.log(q.leastTokens) + fewest - t, fewest] : [fewest, high];
    }
    add(`lowest ${name}`, along(-1), -low);
    add(`highest ${name}`, along(1), high);
  });
  // s = (r − r_1)/(r_f − r_1) with r_1 = φ·r gives r_f = r·(φ + (1 − φ)/s): linear in logs.
  const [shortest, longest] = q.stage;
  add("lowest stage_fraction", [0, 0, -1, 1], Math.log(share + (1 - share) / shortest));
  add("highest stage_fraction", [0, 0, 1, -1], -Math.log(share + (1 - share) / longest));
  if (q.firstRatio > 0) {
    const reach = share > 0 ? Math.log(share) : -1e3;
    add("lowest first_ratio", [0, 0, -1, 0], reach - Math.log(q.firstRatio));
  }
  return limits;
}

/** Value, gradient and Hessian (its few entries) of a limit's slack at z. */
export function slack(limit: Limit, z: Float64Array, gradient: Float64Array): number {
  let value = limit.side;
  for (let i = 0; i < 4; i++) {
    gradient[i] = -limit.a[i];
    value -= limit.a[i] * z[i];
  }
  if (limit.bent === "source") {
    // k·D_T·(1/r − 1) <= S as r + log(1 + S / (k·D_T)) >= 0: finite and smooth up to r = 1.
    const [soft, slope] = softplus(limit.side - z[1]);
    gradient[1] = -slope;
    return z[2] + soft;
  }
  if (limit.bent === "serving") {
    const [soft, slope] = softplus(z[1] - z[2] - limit.serving!);
    gradient[1] = -slope;
    gradient[2] = slope;
    return limit.side - z[0] - limit.serving! - soft;
  }
  return value;
}

/** Adds `by` times the Hessian of a slack to h, (4, 4). */
export function addBend(limit: Limit, z: Float64Array, by: number, h: Float64Array): void {
  if (limit.bent === "source") h[5] += by * softplus(limit.side - z[1])[2];
  if (limit.bent === "serving") {
    const bend = -by * softplus(z[1] - z[2] - limit.serving!)[2];
    h[5] += bend;
    h[10] += bend;
    h[6] -= bend;
    h[9] -= bend;
  }
}

/** Unique target tokens read and epochs over them at log passes k. */
export function asRead(q: Question, k: number): [number, number] {
  const fewest = fewestPasses(q);
  return [Math.exp(q.logTokens + Math.min(k - fewest, 0)), Math.exp(Math.max(k, fewest))];
}

export function recipeAt(q: Question, z: ArrayLike<number>, regime: number): Recipe {
  const [targetTokens, epochs] = asRead(q, z[1]);
  const ratio = Math.exp(z[2]);
  return {
    nParams: Math.exp(z[0]),
    targetTokens,
    epochs,
    targetRatio: ratio,
    finalRatio: Math.exp(z[3]),
    firstRatio: (regime === TWO_STAGE ? q.firstShare : 1) * ratio,
  };
}

export const totalTokens = (r: Recipe) => (r.epochs * r.targetTokens) / r.targetRatio;
export const computeOf = (r: Recipe) => 6 * r.nParams * totalTokens(r);
export const isTwoStage = (r: Recipe) => r.finalRatio > r.targetRatio * (1 + 1e-9);
export const stageFraction = (r: Recipe) =>
  isTwoStage(r) ? (r.targetRatio - r.firstRatio) / (r.finalRatio - r.firstRatio) : 1;
export const regimeOf = (r: Recipe) =>
  r.targetRatio >= 1 - 1e-9 ? MONOLINGUAL : isTwoStage(r) ? TWO_STAGE : SINGLE_STAGE;
