/** The figures, drawn with Observable Plot: all under the reader's pointer, and in their colours. */

import * as Plot from "@observablehq/plot";
import type { Answer, Engine, OverDraws } from "./answer";
import type { Runs } from "./data";
import { brief, count, flop, loss, percent, ratio } from "./format";
import { regimeOf, REGIMES, totalTokens, type Asked, type Recipe } from "./question";

const INK = "var(--ink)";
const ACCENT = "var(--accent)";
const BEST = "var(--best)";
export const REGIME_COLOURS = ["var(--mono)", "var(--one)", "var(--two)"];
const SYMBOLS = ["circle", "square", "triangle"] as const;

const LOSSES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

function shape(width: number, height: number): Plot.PlotOptions {
  return {
    width,
    height,
    marginLeft: 56,
    marginBottom: 40,
    style: { background: "transparent", color: INK, fontSize: "12px", overflow: "visible" },
  };
}

const logarithmic = (
  label: string,
  domain?: [number, number],
  tickFormat: (x: number) => string = tick,
): Plot.ScaleOptions => ({
  type: "log",
  label,
  tickFormat: (x: number) => tickFormat(x),
  ticks: 5,
  grid: true,
  ...(domain ? { domain } : {}),
});

/** Counts on axes, without zeros that say nothing: 10K. */
const tick = (x: number) => count(x).replace(/\.?0+(?=[KMBT]$)(?<=\..*)/, "");

// Of the legend, which takes them though the types do not know it.
const MARGINS: object = { marginLeft: 24, marginRight: 24, width: 300 };

function padded(values: number[], by = 1.15): [number, number] {
  const there = values.filter((x) => x > 0 && x < Infinity);
  return [Math.min(...there) / by, Math.max(...there) * by];
}

function recipesOf(runs: Runs): Recipe[] {
  return runs.name.map((_, i) => ({
    nParams: runs.nParams[i],
    targetTokens: runs.targetTokens[i],
    epochs: runs.epochs[i],
    targetRatio: runs.targetRatio[i],
    finalRatio: runs.finalRatio[i],
    firstRatio: runs.firstRatio[i],
  }));
}

function told(recipe: Recipe): string {
  const final =
    recipe.finalRatio > recipe.targetRatio * (1 + 1e-9) ? ` to ${brief(recipe.finalRatio)}` : "";
  return (
    `${count(recipe.nParams)} parameters, ${count(totalTokens(recipe))} tokens\n` +
    `${brief(recipe.epochs)} epochs over ${count(recipe.targetTokens)}\nratio ${brief(recipe.targetRatio)}${final}`
  );
}

/** What other epochs and ratios would lose, all compute spent, with the runs. */
export function surface(
  engine: Engine,
  answer: Answer,
  drawn: OverDraws | null,
  width: number,
): Element {
  const { recipe: best, language } = answer;
  const runs = language.runs ? recipesOf(language.runs) : [];
  const compute = answer.asked.compute * answer.budgetUsed;
  const x = padded([best.epochs, ...runs.map((r) => r.epochs), 1, 16]);
  const y: [number, number] = [
    padded([best.targetRatio, ...runs.map((r) => r.targetRatio), 0.5])[0],
    1,
  ];
  const excess = (k: number, r: number): number => {
    const tokens = (best.targetTokens * k) / r;
    const at = {
      nParams: compute / (6 * tokens),
      targetTokens: best.targetTokens,
      epochs: k,
      targetRatio: r,
      finalRatio: Math.min(r * (best.finalRatio / best.targetRatio), 1),
      firstRatio: r * (best.firstRatio / best.targetRatio),
    };
    return Math.exp(engine.logLoss(language.theta, at)) - answer.loss;
  };
  const height = Math.min(width * 0.75, 440);
  const cross = drawn
    ? [
        Plot.link([0], {
          x1: drawn.recipe.epochs[0],
          x2: drawn.recipe.epochs[1],
          y1: best.targetRatio,
          y2: best.targetRatio,
          stroke: BEST,
          strokeWidth: 2,
          clip: true,
        }),
        Plot.link([0], {
          x1: best.epochs,
          x2: best.epochs,
          y1: drawn.recipe.targetRatio[0],
          y2: drawn.recipe.targetRatio[1],
          stroke: BEST,
          strokeWidth: 2,
          clip: true,
        }),
      ]
    : [];
  return Plot.plot({
    ...shape(width, height),
    ariaLabel: "Loss above the best over epochs and target ratio, with the runs",
    x: logarithmic("epochs over the target text", x, brief),
    y: logarithmic("target ratio", y, brief),
    color: {
      type: "linear",
      domain: [-3, 0],
      scheme: "YlGnBu",
      reverse: true,
      clamp: true,
      legend: true,
      label: "loss above the best, nats per token",
      tickFormat: (d: number) => brief(10 ** d),
      ticks: [-3, -2, -1, 0],
      ...MARGINS,
    },
    marks: [
      Plot.contour({
        fill: (k: number, r: number) => Math.log10(Math.min(Math.max(excess(k, r), 1e-4), 10)),
        thresholds: [-4, ...LOSSES.map(Math.log10)],
        pixelSize: 5,
        stroke: "white",
        strokeWidth: 0.4,
        x1: x[0],
        x2: x[1],
        y1: y[0],
        y2: y[1],
      }),
      Plot.dot(runs, {
        x: "epochs",
        y: "targetRatio",
        r: 2.6,
        fill: "#222",
        stroke: "white",
        strokeWidth: 0.5,
        channels: {
          run: {
            value: runs.map(
              (r, i) =>
                `${language.runs!.name[i]}: loss ${loss(language.runs!.loss[i])}\n${told(r)}`,
            ),
            label: "",
          },
        },
        tip: { format: { x: false, y: false, run: true } },
      }),
      ...cross,
      Plot.dot([best], {
        x: "epochs",
        y: "targetRatio",
        symbol: "star",
        r: 8,
        fill: BEST,
        stroke: "white",
      }),
    ],
  });
}

export interface Point {
  at: number;
  answer: Answer;
  drawn: OverDraws | null;
}

const PANELS: [keyof Recipe | "loss", string, (x: number) => string][] = [
  ["nParams", "model size, parameters", tick],
  ["epochs", "epochs", brief],
  ["targetRatio", "target ratio", brief],
  ["loss", "loss, nats per token", brief],
];

/** Best recipes against one thing that is varied, a panel for each part of the recipe. */
export function along(points: Point[], label: string, width: number): Element[] {
  const there = points.filter((p) => p.answer.regime >= 0);
  const each = width > 620 ? (width - 24) / 2 : width;
  return PANELS.map(([name, title, write]) => {
    const value = (p: Point) => (name === "loss" ? p.answer.loss : p.answer.recipe[name]);
    const end = (p: Point, i: 0 | 1) =>
      p.drawn ? (name === "loss" ? p.drawn.loss : p.drawn.recipe[name])[i] : value(p);
    return Plot.plot({
      ...shape(each, 230),
      ariaLabel: `${title} of the best recipe against ${label}`,
      x: logarithmic(label, undefined, label.startsWith("compute") ? flop : tick),
      y: { ...logarithmic(title, undefined, write), type: name === "loss" ? "linear" : "log" },
      marks: [
        Plot.areaY(there, {
          x: "at",
          y1: (p) => end(p, 0),
          y2: (p) => end(p, 1),
          fill: ACCENT,
          fillOpacity: 0.2,
        }),
        Plot.line(there, { x: "at", y: value, stroke: ACCENT }),
        ...REGIMES.map((regime, k) =>
          Plot.dot(
            there.filter((p) => p.answer.regime === k),
            {
              x: "at",
              y: value,
              symbol: SYMBOLS[k],
              fill: REGIME_COLOURS[k],
              stroke: "var(--page)",
              r: 4,
              channels: {
                recipe: {
                  value: (p: Point) =>
                    `${regime}, loss ${loss(p.answer.loss)}\n${told(p.answer.recipe)}`,
                  label: "",
                },
              },
              tip: { format: { x: false, y: false, recipe: true } },
            },
          ),
        ),
      ],
    });
  });
}

export interface Cell {
  compute: [number, number];
  targetTokens: [number, number];
  answer: Answer;
}

/** Which regime is best over compute and corpus size. */
export function regimeMap(cells: Cell[], asked: Asked, width: number): Element {
  return Plot.plot({
    ...shape(width, Math.min(width * 0.65, 400)),
    ariaLabel: "Best regime over compute and corpus size",
    x: { ...logarithmic("compute, FLOP", undefined, flop), grid: false },
    y: { ...logarithmic("target text at hand, tokens"), grid: false },
    color: { type: "categorical", domain: REGIMES, range: REGIME_COLOURS, legend: true },
    marks: [
      Plot.rect(
        cells.filter((c) => c.answer.regime >= 0),
        {
          x1: (c: Cell) => c.compute[0],
          x2: (c: Cell) => c.compute[1],
          y1: (c: Cell) => c.targetTokens[0],
          y2: (c: Cell) => c.targetTokens[1],
          fill: (c: Cell) => REGIMES[c.answer.regime],
          inset: 0,
          channels: {
            recipe: {
              value: (c: Cell) =>
                `${flop(c.answer.asked.compute)} FLOP, ${count(c.answer.asked.targetTokens)} target tokens\n` +
                `${REGIMES[c.answer.regime]}, loss ${loss(c.answer.loss)}\n${told(c.answer.recipe)}`,
              label: "",
            },
          },
          tip: {
            format: {
              x: false,
              y: false,
              x1: false,
              x2: false,
              y1: false,
              y2: false,
              fill: false,
              recipe: true,
            },
          },
        },
      ),
      Plot.dot([asked], {
        x: "compute",
        y: "targetTokens",
        symbol: "star",
        r: 8,
        fill: BEST,
        stroke: "white",
      }),
    ],
  });
}

interface Fitted {
  name: string;
  recipe: Recipe;
  measured: number;
  predicted: number;
  error: number;
}

function fitted(engine: Engine, answer: Answer): Fitted[] {
  const { language } = answer;
  const runs = language.runs!;
  return recipesOf(runs).map((recipe, i) => {
    const predicted = Math.exp(engine.logLoss(language.theta, recipe));
    const measured = runs.loss[i];
    return {
      name: runs.name[i],
      recipe,
      measured,
      predicted,
      error: Math.log(measured / predicted),
    };
  });
}

const named = (x: Fitted) =>
  `${x.name}: measured ${loss(x.measured)}, predicted ${loss(x.predicted)} (${percent(x.error)})\n${told(x.recipe)}`;

/** Predicted against measured losses of the runs. */
export function quality(engine: Engine, answer: Answer, width: number): Element {
  const runs = fitted(engine, answer);
  const ends = padded(
    runs.flatMap((x) => [x.measured, x.predicted]),
    1.02,
  );
  const axis = (label: string): Plot.ScaleOptions => ({ ...logarithmic(label, ends, brief) });
  return Plot.plot({
    ...shape(width, Math.min(width * 0.75, 400)),
    ariaLabel: "Predicted against measured loss of each run",
    x: axis("measured loss, nats per token"),
    y: axis("predicted"),
    marks: [
      Plot.link([0], {
        x1: ends[0],
        x2: ends[1],
        y1: ends[0],
        y2: ends[1],
        stroke: INK,
        strokeOpacity: 0.5,
      }),
      Plot.dot(runs, {
        x: "measured",
        y: "predicted",
        r: 3,
        fill: (x: Fitted) => REGIME_COLOURS[regimeOf(x.recipe)],
        channels: { run: { value: named, label: "" } },
        tip: { format: { x: false, y: false, fill: false, run: true } },
      }),
    ],
  });
}

export const RESIDUAL_AXES: [string, (x: Fitted) => number, (x: number) => string][] = [
  ["epochs", (x) => x.recipe.epochs, brief],
  ["model size", (x) => x.recipe.nParams, tick],
  ["training tokens", (x) => totalTokens(x.recipe), tick],
  ["corpus size", (x) => x.recipe.targetTokens, tick],
  ["target ratio", (x) => x.recipe.targetRatio, ratio],
  ["final ratio", (x) => x.recipe.finalRatio, ratio],
  ["predicted loss", (x) => x.predicted, brief],
];

/** How far each run lies from the fit, against one variable. */
export function residuals(engine: Engine, answer: Answer, axis: number, width: number): Element {
  const [label, value, write] = RESIDUAL_AXES[axis];
  return Plot.plot({
    ...shape(width, Math.min(width * 0.6, 320)),
    ariaLabel: `Measured loss above the prediction, against ${label}`,
    x: logarithmic(label, undefined, write),
    y: {
      label: "measured above predicted",
      tickFormat: (x: number) => `${brief(100 * x)}%`,
      grid: true,
    },
    marks: [
      Plot.ruleY([0], { stroke: INK }),
      Plot.dot(fitted(engine, answer), {
        x: value,
        y: "error",
        r: 3,
        fill: (x: Fitted) => REGIME_COLOURS[regimeOf(x.recipe)],
        channels: { run: { value: named, label: "" } },
        tip: { format: { x: false, y: false, fill: false, run: true } },
      }),
    ],
  });
}
