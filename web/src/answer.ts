/** The answer to what a reader asks: best recipes, what holds them, and what the draws make of them. */

import { decoded, type Language, type Page } from "./data";
import { compiled, type Evaluate } from "./program";
import {
  computeOf,
  optimalSize,
  questionOf,
  recipeAt,
  regimeOf,
  stageFraction,
  totalTokens,
  TWO_STAGE,
  type Asked,
  type Question,
  type Recipe,
} from "./question";
import { bestRegime, solve, type LawFunctions, type Solved } from "./solve";

export interface Answer {
  language: Language;
  asked: Asked;
  question: Question;
  solved: Solved;
  regime: number; // −1 where no recipe is allowed
  recipe: Recipe;
  loss: number;
  losses: number[]; // of each regime, Infinity where it is not allowed
  budgetUsed: number;
  heldBy: string[];
  outside: { variable: string; factor: number; side: string }[];
  whyNot: string[];
}

export interface OverDraws {
  loss: [number, number];
  recipe: Record<keyof Recipe, [number, number]>;
  share: number[]; // of draws in which each regime is best
  regret: number;
  count: number;
}

const ACTIVE = 1e-6;
const TIGHT = 1e-6;
const CHOICES = 48; // recipes of other draws that each draw may choose from
const AVERAGED = 25; // pairs of draws that an average is taken over
const SLACK = 1.001; // times beyond the runs that are not worth a word

interface Drawn {
  theta: Float64Array[];
  bends: Float64Array[];
}

/** What the page can do with its data: evaluate the law, and find recipes. */
export class Engine {
  readonly law: LawFunctions;
  private readonly drawn = new Map<Language, Drawn>();
  private readonly averages = new Map<Language, LawFunctions>();
  private readonly out = new Float64Array(21);

  constructor(readonly page: Page) {
    const count = page.law.coefficients.length;
    if (!page.law.program) throw new Error("this law cannot be evaluated in a page");
    this.law = {
      value: compiled(page.law.program, count, 1),
      all: compiled(page.law.program, count, 21),
    };
  }

  draws(language: Language): Drawn {
    let drawn = this.drawn.get(language);
    if (!drawn) {
      drawn = {
        theta: decoded(language.draws, language.theta.length),
        bends: decoded(language.bends, 5),
      };
      this.drawn.set(language, drawn);
    }
    return drawn;
  }

  /** What is minimised: the law under the best fit, or its log loss on average over the draws. */
  private objective(language: Language): LawFunctions {
    const { theta } = this.draws(language);
    if (this.page.objective === "point" || !theta.length) return this.law;
    let law = this.averages.get(language);
    if (!law) {
      // Of pairs of draws that mirror each other, the first half and the second.
      const half = Math.floor(theta.length / 2) || 1;
      const step = Math.max(Math.ceil(half / AVERAGED), 1);
      const some = theta.filter((_, b) => (b % half) % step === 0);
      law = { value: averaged(this.law.value, some, 1), all: averaged(this.law.all, some, 21) };
      this.averages.set(language, law);
    }
    return law;
  }

  /** Log loss of a recipe under coefficients. */
  logLoss(theta: ArrayLike<number>, r: Recipe): number {
    const x = [r.nParams, r.targetTokens, r.epochs, r.targetRatio, r.finalRatio].map(Math.log);
    x.push(r.firstRatio / r.targetRatio);
    this.law.value(theta, x, this.out);
    return this.out[0];
  }

  answer(language: Language, asked: Asked, near?: Answer): Answer {
    const question = questionOf(this.page, language, asked);
    const solved = solve(this.objective(language), language.theta, question, near?.solved);
    const logs = solved.optima.map((optimum) => optimum?.logLoss ?? Infinity);
    const regime = bestRegime(logs);
    const optimum = solved.optima[regime];
    const recipe = optimum ? recipeAt(question, optimum.z, regime) : NO_RECIPE;
    // On average over draws losses are no prediction: their differences are kept, from the fit's.
    const log = optimum ? this.logLoss(language.theta, recipe) : Infinity;
    const serving = 2 * recipe.nParams * question.inferenceTokens;
    return {
      language,
      asked,
      question,
      solved,
      regime,
      recipe,
      loss: Math.exp(log),
      losses: logs.map((other) => Math.exp(optimum ? log + other - optimum.logLoss : Infinity)),
      budgetUsed: optimum ? (computeOf(recipe) + serving) / asked.compute : 0,
      heldBy: optimum ? this.heldBy(language, asked, recipe, optimum.multipliers) : [],
      outside: optimum ? outside(language, recipe) : [],
      whyNot: optimum ? [] : solved.blame.map((name) => this.words(language, asked, name)),
    };
  }

  /** Another answer to begin from, where searching everywhere would take long and it can be. */
  near(other: Answer | null): Answer | undefined {
    const all = other?.question.regimes.every((regime) => other.solved.optima[regime]);
    return other && all && this.page.objective !== "point" ? other : undefined;
  }

  /** A limit in words: the reader's own where a slider holds. */
  words(language: Language, asked: Asked, name: string): string {
    if (name === "highest epochs" && asked.maxEpochs < language.high[1])
      return "most epochs, as you set them";
    if (name === "highest n_params") {
      const most = (this.page.limits.timesOptimal ?? Infinity) * optimalSize(asked.compute);
      if (asked.maxParams < Math.min(language.high[0], most)) return "largest model, as you set it";
      if (most < language.high[0])
        return `n_params at most ${this.page.limits.timesOptimal} times the compute-optimal`;
    }
    if (name === "source_tokens") return "source text, as you set it";
    return language.words[name] ?? name;
  }

  private heldBy(
    language: Language,
    asked: Asked,
    recipe: Recipe,
    multipliers: Map<string, number>,
  ): string[] {
    const told: string[] = [];
    const most = Math.min(language.high[1], asked.maxEpochs);
    for (const [name, value] of multipliers) {
      if (!(value > ACTIVE)) continue;
      if (
        name === "lowest epochs" &&
        !(language.low[1] > 1 && recipe.epochs <= language.low[1] * (1 + TIGHT))
      )
        continue;
      if (name === "highest epochs" && !(recipe.epochs >= most * (1 - TIGHT))) continue;
      told.push(this.words(language, asked, name));
    }
    const read = recipe.targetTokens * Math.min(recipe.epochs, 1);
    const all = asked.targetTokens * Math.min(most, 1);
    const cap = language.text[1] ?? Infinity;
    if (read <= language.text[0] * (1 + TIGHT)) told.push(language.words["least text"]);
    else if (read >= Math.min(all, cap) * (1 - TIGHT)) {
      told.push(
        cap < all
          ? language.words["most text"]
          : most < 1
            ? this.words(language, asked, "highest epochs")
            : "all target text read",
      );
    }
    const budget = ["compute", "gpu_hours"].some((name) => (multipliers.get(name) ?? 0) > ACTIVE);
    if (!budget) {
      for (const name of ["n_params", "target_ratio"]) {
        const held = language.words[`held ${name}`];
        if (held) told.push(held);
      }
    }
    return [...new Set(told)];
  }

  /** What the draws make of an answer, as `m3jax.optimize` does; `count` of them. */
  overDraws(answer: Answer, count = Infinity): OverDraws | null {
    const { language, question, recipe } = answer;
    const { theta, bends } = this.draws(language);
    const n = Math.min(theta.length, count);
    if (!n || answer.regime < 0) return null;
    const own: { recipe: Recipe; log: number }[] = [];
    for (let b = 0; b < n; b++) {
      const solved = solve(this.law, theta[b], question, answer.solved);
      const logs = solved.optima.map((optimum) => optimum?.logLoss ?? Infinity);
      const regime = bestRegime(logs);
      const best = regime < 0 ? recipe : recipeAt(question, solved.optima[regime]!.z, regime);
      own.push({ recipe: best, log: regime < 0 ? this.logLoss(theta[b], recipe) : logs[regime] });
    }
    const bent = (b: number, distance: number[]) =>
      distance.reduce((sum, x, i) => sum + x * bends[b][i], 0);
    let best = own;
    if (bends.some((row) => row.some((x) => x !== 0))) {
      // Where a draw's loss bends beyond the runs its best recipe is elsewhere.
      const places = new Set(
        Array.from({ length: Math.min(n, CHOICES) }, (_, i, m = Math.min(n, CHOICES)) =>
          m > 1 ? Math.round((i * (n - 1)) / (m - 1)) : 0,
        ),
      );
      const offered = [...[...places].map((b) => own[b].recipe), recipe];
      const distances = offered.map((r) => beyond(language, r));
      best = own.map((mine, b) => {
        let chosen = {
          recipe: mine.recipe,
          log: mine.log + bent(b, beyond(language, mine.recipe)),
        };
        offered.forEach((other, i) => {
          const log = this.logLoss(theta[b], other) + bent(b, distances[i]);
          if (log < chosen.log) chosen = { recipe: other, log };
        });
        return chosen;
      });
    }
    const away = beyond(language, recipe);
    const logs = own.map((_, b) => this.logLoss(theta[b], recipe) + bent(b, away));
    const off = logs.map((log) => log - Math.log(answer.loss));
    const level = this.page.level;
    const ends: [number, number] = [(1 - level) / 2, (1 + level) / 2];
    let loss: [number, number];
    if (this.page.calibrated) {
      const half = quantile(off.map(Math.abs), level);
      loss = [answer.loss * Math.exp(-half), answer.loss * Math.exp(half)];
    } else {
      loss = ends.map((p) => answer.loss * Math.exp(quantile(off, p))) as [number, number];
    }
    const spans = Object.fromEntries(
      Object.keys(recipe).map((name) => {
        const values = best.map((draw) => draw.recipe[name as keyof Recipe]);
        return [name, ends.map((p) => quantile(values, p))];
      }),
    ) as OverDraws["recipe"];
    const share = [0, 1, 2].map(
      (k) => best.filter((draw) => regimeOf(draw.recipe) === k).length / n,
    );
    const regret =
      best.reduce((sum, draw, b) => sum + Math.max(Math.exp(logs[b]) - Math.exp(draw.log), 0), 0) /
      n;
    return { loss, recipe: spans, share, regret, count: n };
  }
}

function averaged(evaluate: Evaluate, draws: Float64Array[], count: number): Evaluate {
  const one = new Float64Array(count);
  return (_, x, out) => {
    out.fill(0, 0, count);
    for (const theta of draws) {
      evaluate(theta, x, one);
      for (let i = 0; i < count; i++) out[i] += one[i] / draws.length;
    }
  };
}

const NO_RECIPE: Recipe = {
  nParams: 0,
  targetTokens: 0,
  epochs: 0,
  targetRatio: 0,
  finalRatio: 0,
  firstRatio: 0,
};

/** Percentiles as NumPy's, linear between the values. */
export function quantile(values: number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = p * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/** How far a recipe lies beyond the runs in the variables in which losses may bend, logarithms. */
function beyond(language: Language, r: Recipe): number[] {
  const whole = r.epochs >= 1;
  const values = [
    r.nParams,
    whole ? r.targetTokens : r.targetTokens * r.epochs,
    whole ? r.epochs : 1,
    r.targetRatio,
    r.finalRatio / r.targetRatio,
  ].map(Math.log);
  const [low, high] = language.edges;
  return values.map((x, i) => Math.max(x - (high[i] ?? Infinity), (low[i] ?? -Infinity) - x, 0));
}

/** In which variables a recipe leaves the runs, the farthest first. */
function outside(language: Language, r: Recipe): Answer["outside"] {
  const judged: Record<string, number> = {
    n_params: r.nParams,
    total_tokens: totalTokens(r),
    target_tokens: r.targetTokens * Math.min(r.epochs, 1),
    epochs: r.epochs,
    target_ratio: r.targetRatio,
  };
  if (regimeOf(r) === TWO_STAGE) {
    judged.final_ratio = r.finalRatio;
    judged.stage_fraction = stageFraction(r);
  }
  const found: Answer["outside"] = [];
  for (const [variable, value] of Object.entries(judged)) {
    const covered = language.covered[variable];
    if (!covered) continue;
    const [low, high] = covered;
    if (value > high * SLACK) found.push({ variable, factor: value / high, side: "above" });
    else if (value < low / SLACK && variable !== "epochs") {
      found.push({ variable, factor: low / value, side: "below" });
    }
  }
  return found.sort((a, b) => b.factor - a.factor);
}
