/** Wires the page: what the reader sets goes to the engine, and its answer to every part. */

import { Engine, type Answer, type OverDraws } from "./answer";
import { slider } from "./controls";
import type { Language, Page, Row } from "./data";
import { h, replace } from "./dom";
import { figures } from "./figures";
import { languageTable } from "./languages";
import { coefficients, determined, matrix } from "./laws";
import type { Asked } from "./question";
import { showResult } from "./result";
import { sentences } from "./sentences";

const PAUSE = 150; // milliseconds without a move, before intervals are computed

const page = JSON.parse(document.getElementById("data")!.textContent!) as Page;
const engine = page.law.program && page.languages.length ? new Engine(page) : null;
const at = (id: string) => document.getElementById(id);
const fill = (id: string, ...children: (Node | string | null)[]) => {
  const place = at(id);
  if (!place) return;
  replace(place, ...children);
  const section = place.closest("section");
  if (section) section.hidden = !children.some(Boolean);
};

let language: Language = page.languages[0];
let timer = 0;
const noCap = "no limit";
const changed = () => update(true);
const controls = {
  compute: slider("compute", "compute", "FLOP", null, changed),
  targetTokens: slider("target-tokens", "target text at hand", "tokens", null, changed),
  sourceTokens: slider("source-tokens", "source text", "tokens", noCap, changed),
  maxEpochs: slider("max-epochs", "most epochs", "passes", noCap, changed),
  maxParams: slider("max-params", "largest model", "parameters", noCap, changed),
};

const picker = h(
  "select",
  { id: "language" },
  ...page.languages.map((one, i) => h("option", { value: i }, one.name)),
);
picker.addEventListener("change", () => choose(page.languages[Number(picker.value)]));

/** The first language's recipe for the largest budget. */
function firstRow(): Row {
  const language = (page.rows.find((row) => row.regime !== null) ?? page.rows[0]).language;
  const own = page.rows.filter((row) => row.language === language);
  const there = own.filter((row) => row.regime !== null);
  return (there.length ? there : own).reduce((best, row) =>
    row.compute > best.compute ? row : best,
  );
}

const start = page.rows.length ? firstRow() : null;
const rows = start
  ? languageTable(page, start, (row) => {
      choose(page.languages[row.language], row);
      at("answer")?.scrollIntoView({ block: "nearest" });
    })
  : null;
const charts = engine ? figures(engine) : null;

function asked(): Asked {
  return {
    compute: controls.compute.value,
    targetTokens: controls.targetTokens.value,
    sourceTokens: controls.sourceTokens.value,
    maxEpochs: controls.maxEpochs.value,
    maxParams: controls.maxParams.value,
  };
}

/** Another language, with the sliders where its question stands. */
function choose(next: Language, from: { compute: number; targetTokens: number } = next): void {
  language = next;
  picker.value = String(page.languages.indexOf(next));
  const { compute, targetTokens } = from;
  const [budgets, text, tokens] = [
    next.covered.compute,
    next.covered.target_tokens,
    next.covered.total_tokens,
  ];
  const source = page.limits.sourceTokens;
  controls.compute.value = compute;
  controls.compute.range(
    Math.min(budgets[0], compute / 10),
    Math.max(budgets[1] * 1e3, compute * 10),
  );
  controls.targetTokens.value = targetTokens;
  controls.targetTokens.range(
    Math.min(text[0], targetTokens / 10),
    Math.max(text[1] * 100, targetTokens * 10),
  );
  controls.sourceTokens.value = source ?? Infinity;
  controls.sourceTokens.range(
    Math.min(tokens[0], source ?? Infinity),
    Math.max(tokens[1] * 100, 10 * (source ?? 0)),
  );
  controls.maxEpochs.value = Infinity;
  controls.maxEpochs.range(1, Math.max(next.high[1], 1.01));
  controls.maxParams.value = Infinity;
  controls.maxParams.range(next.low[0], next.high[0]);
  rows?.mark(page.languages.indexOf(next));
  fill("matrix", matrix(page, next));
  fill("determined", determined(next));
  fill("coefficients", coefficients(page, next));
  update(false);
}

function update(pause: boolean): void {
  if (!engine) return;
  // An average over draws takes long: near the last answer while the reader moves, and then anew.
  const near = pause && last?.[0].language === language ? engine.near(last[0]) : undefined;
  let answer = engine.answer(language, asked(), near);
  tell(answer, undefined);
  clearTimeout(timer);
  timer = window.setTimeout(
    () => {
      if (near) answer = engine.answer(language, asked());
      const drawn = engine.overDraws(answer);
      tell(answer, drawn);
      charts?.show(answer, drawn);
    },
    pause ? PAUSE : 0,
  );
}

let last: [Answer, OverDraws | null | undefined] | null = null;

function tell(answer: Answer, drawn: OverDraws | null | undefined): void {
  last = [answer, drawn];
  const said = at("answer");
  if (said)
    replace(
      said,
      ...sentences(answer, drawn ?? null, page.level).map((text) => h("span", {}, `${text} `)),
    );
  const card = at("result");
  if (card) showResult(card, answer, drawn, page.level);
}

if (page.languages.length) {
  const many = page.languages.length > 1;
  fill("pick", many ? h("label", { for: "language" }, "language ", picker) : null);
  if (engine) fill("sliders", ...Object.values(controls).map((control) => control.element));
  else fill("sliders", null);
  fill("all", rows?.element ?? null);
  fill("charts", charts?.element ?? null);
  at("result")?.addEventListener("again", () => last && tell(...last));
  choose(page.languages[start?.language ?? 0], start ?? undefined);
}
Object.assign(window, { m3jax: { page, engine, ready: true } });
