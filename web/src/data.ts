/** What Python puts into the page, and how it is read. */

export type Span = [number, number];

/** A function of scalars as a list of operations, see `m3jax.computing.listing`. */
export interface Listing {
  size: number;
  numbers: [number, number | string][];
  steps: [string, ...number[]][];
  out: number[];
}

export interface Row {
  language: number;
  compute: number;
  targetTokens: number;
  regime: number | null;
  nParams: number | null;
  epochs: number | null;
  targetRatio: number | null;
  finalRatio: number | null;
  loss: number | null;
  low: number | null;
  high: number | null;
  used: number | null;
  infeasible: string | null;
}

export interface Runs {
  name: string[];
  nParams: number[];
  targetTokens: number[];
  epochs: number[];
  targetRatio: number[];
  finalRatio: number[];
  firstRatio: number[];
  loss: number[];
}

/** Further runs, and the expected regret of the recipe now, after them, and after random ones. */
export interface Proposal {
  now: number;
  after: number;
  random: number;
  runs: {
    nParams: number;
    targetTokens: number;
    epochs: number;
    targetRatio: number;
    finalRatio: number;
    firstRatio: number;
    compute: number;
    worth: number;
  }[];
}

export interface CoefficientRow {
  value: number;
  low: number | null;
  high: number | null;
  determined: string;
}

export interface Language {
  name: string;
  theta: number[];
  draws: string; // float32, (B, p), base64
  bends: string; // float32, (B, 5), base64
  edges: [(number | null)[], (number | null)[]]; // lowest and highest, logarithms
  regimes: number[];
  low: number[]; // of n_params, epochs, target_ratio, final_ratio
  high: number[];
  stage: Span;
  firstShare: number;
  maxTotalTokens: number | null;
  text: [number, number | null]; // distinct target tokens that may be read
  covered: Record<string, Span>;
  ground: string; // what to call the runs
  words: Record<string, string>; // of limits
  grade: string;
  nRuns: number;
  r2: number | null;
  noise: number | null;
  compute: number; // where the sliders stand at first
  targetTokens: number;
  notes: string[];
  verdicts: string[];
  coefficients: CoefficientRow[];
  runs: Runs | null;
  next: Proposal | null;
}

export interface ScoreRow {
  language: string;
  holdout: string;
  law: string;
  error: number | null;
  regret: number | null;
  level: boolean;
  tested: number;
  why: string | null;
}

export interface Page {
  title: string;
  level: number;
  calibrated: boolean;
  law: { name: string; coefficients: { name: string; meaning: string }[]; program: Listing | null };
  limits: {
    sourceTokens: number | null;
    inferenceTokens: number;
    gpuFlops: number | null;
    firstRatio: number;
    ladder: number[] | null;
    leftOut: string[]; // limits that the page does not know
    timesOptimal: number | null; // how many times the compute-optimal size a model may have
  };
  objective: "point" | "mean_log";
  languages: Language[];
  rows: Row[];
  notFitted: { name: string; why: string }[];
  scores: ScoreRow[];
}

/** The draws of a language: rows of numbers. */
export function decoded(text: string, width: number): Float64Array[] {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const flat = new Float32Array(bytes.buffer);
  const rows: Float64Array[] = [];
  for (let i = 0; i + width <= flat.length; i += width) {
    rows.push(Float64Array.from(flat.subarray(i, i + width)));
  }
  return rows;
}
