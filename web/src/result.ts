/** The card beside the sliders: recipe, losses by regime, stages, and how it stands. */

import type { Answer, OverDraws } from "./answer";
import { h, list, replace, table } from "./dom";
import { brief, count, level, loss, part, ratio, share, span } from "./format";
import { parsed } from "./controls";
import { isTwoStage, REGIMES, stageFraction, totalTokens, type Recipe } from "./question";
import { distance } from "./sentences";

/** `drawn` is null where there are no draws, and undefined while they are being computed. */
export function showResult(
  card: Element,
  answer: Answer,
  drawn: OverDraws | null | undefined,
  at: number,
): void {
  if (answer.regime < 0) {
    replace(
      card,
      h("p", { class: "warning" }, "No recipe is allowed. What clashes:"),
      list(answer.whyNot),
    );
    return;
  }
  const { recipe } = answer;
  const two = isTwoStage(recipe);
  const one = (name: keyof Recipe, text: string, write: (x: number) => string) =>
    fact(text, write(recipe[name]), drawn ? span(drawn.recipe[name], write) : null);
  replace(
    card,
    h(
      "dl",
      { class: "facts" },
      one("nParams", "model size, parameters", count),
      one("epochs", "epochs over the target text", ratio),
      one("targetRatio", "target ratio", ratio),
      one(
        "finalRatio",
        two ? `final ratio, last ${part(stageFraction(recipe))}` : "final ratio",
        ratio,
      ),
      fact("training tokens", count(totalTokens(recipe)), null),
      fact("loss, nats per token", loss(answer.loss), drawn ? span(drawn.loss, loss) : null),
    ),
    h(
      "p",
      { class: "faint" },
      drawn
        ? `Small figures: ${level(at)} intervals over ${drawn.count} draws; expected regret ${loss(drawn.regret)} nats.`
        : drawn === null
          ? "No draws were made: nothing here has an interval."
          : "Intervals are being computed …",
    ),
    bars(answer, drawn ?? null),
    stages(recipe),
    h(
      "dl",
      { class: "standing" },
      h("dt", {}, "Budget used"),
      h(
        "dd",
        {},
        h("meter", {
          min: 0,
          max: 1,
          value: Math.min(answer.budgetUsed, 1),
          "aria-label": "budget used",
        }),
        ` ${share(Math.min(answer.budgetUsed, 1))}`,
      ),
      h("dt", {}, "Held by"),
      h("dd", {}, answer.heldBy.join("; ") || "no limit: more would not help"),
      h("dt", {}, "Beyond the runs"),
      h(
        "dd",
        { class: answer.outside[0]?.factor > 10 ? "warning" : "" },
        `It ${distance(answer)}.`,
      ),
    ),
  );
}

function fact(name: string, value: string, interval: string | null): HTMLElement {
  return h(
    "div",
    {},
    h("dt", {}, name),
    h("dd", {}, h("strong", {}, value), interval ? h("small", {}, ` ${interval}`) : null),
  );
}

/** What each regime's best recipe would lose against the best of all. */
function bars(answer: Answer, drawn: OverDraws | null): HTMLElement {
  const gaps = answer.losses.map((value) => value - answer.loss);
  const most = Math.max(...gaps.filter(Number.isFinite), 1e-4);
  const rows = REGIMES.map((name, regime) => {
    const there = Number.isFinite(answer.losses[regime]);
    const best = regime === answer.regime;
    const text = !there
      ? "not allowed"
      : best
        ? loss(answer.losses[regime])
        : `${loss(answer.losses[regime])}, +${brief(gaps[regime], 2)}`;
    const votes = drawn ? `, best in ${share(drawn.share[regime])} of draws` : "";
    const width = there ? 1 + 99 * (gaps[regime] / most) : 0;
    return h(
      "li",
      { class: best ? "best" : "" },
      h("span", {}, name),
      h(
        "span",
        { class: "track" },
        h("span", { class: "bar", style: `width:${width.toFixed(1)}%` }),
      ),
      h("span", {}, text + votes),
    );
  });
  return h(
    "figure",
    { class: "bars" },
    h("figcaption", {}, "Loss of each regime's best recipe, and how far above the best"),
    h("ul", {}, ...rows),
  );
}

let stepTokens = 0; // as the reader set it

/** What to feed the trainer, stage by stage. */
function stages(recipe: Recipe): HTMLElement {
  const total = totalTokens(recipe);
  const last = stageFraction(recipe);
  const parts = isTwoStage(recipe)
    ? [
        [1 - last, recipe.firstRatio],
        [last, recipe.finalRatio],
      ]
    : [[1, recipe.targetRatio]];
  // As many steps as runs of this length commonly have, unless the reader says otherwise.
  const usual = 2 ** Math.max(Math.round(Math.log2(total / 4000)), 0);
  const size = stepTokens || Math.min(usual, 2 ** 22);
  const field = h("input", { type: "text", id: "step-tokens", value: count(size), size: 7 });
  field.addEventListener("change", () => {
    const value = parsed(field.value);
    stepTokens = value >= 1 ? value : 0;
    field.dispatchEvent(new CustomEvent("again", { bubbles: true }));
  });
  return h(
    "div",
    { class: "stages" },
    table(
      "Stages",
      ["stage", "share", "tokens", "target tokens", "target ratio", "passes", "steps"],
      parts
        .filter(([fraction]) => fraction > 0)
        .map(([fraction, mix], i) => [
          String(i + 1),
          part(fraction),
          count(fraction * total),
          count(fraction * total * mix),
          ratio(mix),
          ratio((fraction * total * mix) / recipe.targetTokens),
          Math.max(Math.round((fraction * total) / size), 1).toLocaleString("en"),
        ]),
    ),
    h("p", { class: "faint" }, h("label", { for: "step-tokens" }, "Tokens a step "), field),
  );
}
