/** The figures' places in the page: each is drawn when it comes into view, and again when asked. */

import type { Answer, Engine, OverDraws } from "./answer";
import {
  along,
  quality,
  regimeMap,
  RESIDUAL_AXES,
  residuals,
  surface,
  type Cell,
  type Point,
} from "./charts";
import { h, replace } from "./dom";
import type { Asked } from "./question";

const POINTS = 15; // of a curve
const DRAWS = 24; // behind the bands of a curve
const COLUMNS = 20; // of the map
const ROWS = 14;
const SLICE = 25; // milliseconds of work between looks at the reader

/** A place whose content is made in slices; a new one ends what is being made. */
class Place {
  readonly element: HTMLElement;
  private readonly canvas = h("div", { class: "canvas", tabindex: 0, role: "group" });
  private run = 0;
  private seen = false;
  private job: ((width: number) => Generator<void, Element[]>) | null = null;

  constructor(title: string, about: string, id: string, ...controls: HTMLElement[]) {
    this.canvas.setAttribute("aria-label", title);
    this.element = h(
      "figure",
      { id, class: "chart" },
      h("h3", {}, title),
      ...controls,
      this.canvas,
      h("figcaption", {}, about),
    );
    const watch = new IntersectionObserver(
      (entries) => {
        this.seen = entries.some((entry) => entry.isIntersecting);
        if (this.seen) void this.draw();
      },
      { rootMargin: "200px" },
    );
    watch.observe(this.element);
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(this.canvas.clientWidth - width) < 8) return;
      width = this.canvas.clientWidth;
      this.last = null;
      if (this.seen) void this.draw();
    }).observe(this.canvas);
    window.addEventListener("beforeprint", () => void this.draw(Infinity));
  }

  private last: unknown = null;

  show(job: ((width: number) => Generator<void, Element[]>) | null): void {
    this.job = job;
    this.element.hidden = !job;
    if (this.seen) void this.draw();
  }

  private async draw(slice = SLICE): Promise<void> {
    if (!this.job || this.last === this.job) return;
    const job = (this.last = this.job);
    const mine = ++this.run;
    this.canvas.setAttribute("aria-busy", "true");
    const work = job(Math.max(this.canvas.clientWidth, 280));
    for (let since = performance.now(); ;) {
      const step = work.next();
      if (step.done) {
        replace(this.canvas, ...step.value);
        // Parts of a picture have no names of their own: the picture has.
        for (const svg of this.canvas.querySelectorAll("svg[aria-label]"))
          svg.setAttribute("role", "img");
        for (const part of this.canvas.querySelectorAll("g[aria-label]"))
          part.removeAttribute("aria-label");
        this.canvas.setAttribute("aria-busy", "false");
        return;
      }
      if (performance.now() - since > slice) {
        await new Promise((resolve) => setTimeout(resolve));
        if (mine !== this.run) return;
        since = performance.now();
      }
    }
  }
}

export interface Figures {
  element: HTMLElement;
  show(answer: Answer, drawn: OverDraws | null): void;
}

export function figures(engine: Engine): Figures {
  let now: { answer: Answer; drawn: OverDraws | null } | null = null;
  const select = (id: string, label: string, names: string[]) => {
    const choice = h(
      "select",
      { id, change: () => now && show(now.answer, now.drawn) },
      ...names.map((name, i) => h("option", { value: i }, name)),
    );
    return { choice, element: h("label", { class: "pick" }, `${label} `, choice) };
  };
  const varied = select("along", "against", ["target text", "compute"]);
  const axis = select(
    "residual-axis",
    "against",
    RESIDUAL_AXES.map(([name]) => name),
  );
  const places = {
    surface: new Place(
      "Around the recipe",
      "What other epochs and ratios would lose with the same compute, model size following. Star: the recipe, lines: intervals of its epochs and ratio. Dots: the runs, of any size.",
      "surface",
    ),
    map: new Place(
      "Which regime is best",
      "Over compute and target text at hand, other limits as set above. Star: where the sliders stand.",
      "map",
    ),
    along: new Place(
      "How the recipe changes",
      `Best recipes where one thing is varied and the rest stays as set above. Bands: intervals over ${DRAWS} draws; circle: monolingual, square: one stage, triangle: two stages.`,
      "recipes",
      varied.element,
    ),
    quality: new Place(
      "How well the law fits",
      "Each run's measured and predicted loss. Colours as in the map of regimes.",
      "quality",
    ),
    residuals: new Place(
      "Where the law errs",
      "What is left of each run's loss. A trend here is what the law does not know.",
      "residuals",
      axis.element,
    ),
  };

  function show(answer: Answer, drawn: OverDraws | null): void {
    now = { answer, drawn };
    const allowed = answer.regime >= 0;
    const runs = !!answer.language.runs;
    places.surface.show(
      allowed
        ? function* (width) {
            yield;
            return [surface(engine, answer, drawn, width)];
          }
        : null,
    );
    const over = Number(varied.choice.value) ? "compute" : "targetTokens";
    places.along.show(allowed ? (width) => curves(engine, answer, over, width) : null);
    places.map.show(allowed ? (width) => cells(engine, answer, width) : null);
    places.quality.show(
      runs
        ? function* (width) {
            yield;
            return [quality(engine, answer, width)];
          }
        : null,
    );
    places.residuals.show(
      runs
        ? function* (width) {
            yield;
            return [residuals(engine, answer, Number(axis.choice.value), width)];
          }
        : null,
    );
  }

  return {
    element: h("div", { class: "charts" }, ...Object.values(places).map((place) => place.element)),
    show,
  };
}

function around(value: number, factor: number, n: number): number[] {
  return Array.from({ length: n }, (_, i) => value * factor ** ((2 * i) / (n - 1) - 1));
}

function* curves(
  engine: Engine,
  answer: Answer,
  over: "compute" | "targetTokens",
  width: number,
): Generator<void, Element[]> {
  const points: Point[] = [];
  for (const at of around(answer.asked[over], 30, POINTS)) {
    const asked: Asked = { ...answer.asked, [over]: at };
    const one = engine.answer(answer.language, asked);
    yield;
    points.push({ at, answer: one, drawn: engine.overDraws(one, DRAWS) });
    yield;
  }
  return along(points, over === "compute" ? "compute, FLOP" : "target text, tokens", width);
}

function* cells(engine: Engine, answer: Answer, width: number): Generator<void, Element[]> {
  const found: Cell[] = [];
  const [x, y] = [
    around(answer.asked.compute, 100, COLUMNS),
    around(answer.asked.targetTokens, 100, ROWS),
  ];
  const half = (values: number[]) => Math.sqrt(values[1] / values[0]);
  let last: Answer | null = null;
  for (const compute of x) {
    for (const targetTokens of y) {
      const asked = { ...answer.asked, compute, targetTokens };
      const one: Answer = engine.answer(answer.language, asked, engine.near(last));
      last = one;
      found.push({
        compute: [compute / half(x), compute * half(x)],
        targetTokens: [targetTokens / half(y), targetTokens * half(y)],
        answer: one,
      });
      yield;
    }
  }
  return [regimeMap(found, answer.asked, width)];
}
