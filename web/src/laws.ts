/** How laws compare on runs they have not seen, and what was fitted to a language. */

import type { Language, Page, Proposal, ScoreRow } from "./data";
import { h, list, table } from "./dom";
import { brief, count, flop, MISSING, percent, ratio, share, span } from "./format";

/** Errors of laws on hold-outs as one matrix; of one language, or the mean over all. */
export function matrix(page: Page, language: Language): HTMLElement | null {
  if (!page.scores.length) return null;
  const own = page.scores.filter((score) => score.language === language.name);
  const scores = own.length ? own : page.scores;
  const laws = [...new Set(scores.map((score) => score.law))];
  const holdouts = [...new Set(scores.map((score) => score.holdout))];
  const cell = (law: string, holdout: string): ScoreRow | undefined =>
    scores.find((score) => score.law === law && score.holdout === holdout);
  const best = new Map(
    holdouts.map((holdout) => [
      holdout,
      Math.min(...laws.map((law) => cell(law, holdout)?.error ?? Infinity)),
    ]),
  );
  const mean = (law: string) => {
    const logs = holdouts
      .map((holdout) => cell(law, holdout)?.error)
      .filter((x): x is number => x != null && x > 0);
    return logs.length === holdouts.length
      ? Math.exp(logs.reduce((sum, x) => sum + Math.log(x), 0) / logs.length)
      : Infinity;
  };
  const rows = laws
    .map((law) => ({ law, mean: mean(law) }))
    .sort((a, b) => a.mean - b.mean)
    .map(({ law, mean }) => [
      law,
      ...holdouts.map((holdout) => {
        const score = cell(law, holdout);
        if (score?.error == null) return h("span", { title: score?.why ?? "" }, MISSING);
        // From the best, which is bare, to three times its error.
        const worse = Math.min(Math.log(score.error / best.get(holdout)!) / Math.log(3), 1);
        return h(
          "span",
          { class: "heat", style: `--heat:${(100 * worse).toFixed(0)}%` },
          percent(score.error),
          score.level
            ? h("abbr", { title: "these runs cannot tell it from the best" }, " ≈")
            : null,
        );
      }),
      Number.isFinite(mean) ? percent(mean) : MISSING,
    ]);
  return h(
    "div",
    {},
    h(
      "p",
      {},
      `Mean relative error on runs that were left out, ${own.length ? language.name : "all languages"}: ${[...best.keys()].join(", ")}. ≈: these runs cannot tell the law from the best.`,
    ),
    table("Errors of laws on hold-outs", ["law", ...holdouts, "geometric mean"], rows),
  );
}

export function determined(language: Language): HTMLElement | null {
  if (!language.verdicts.length && !language.next) return null;
  return h(
    "div",
    {},
    h("p", {}, `${language.name}: ${language.grade}, ${language.nRuns} runs.`),
    list(language.verdicts),
    language.next ? further(language.next) : null,
  );
}

/** Which runs to do next, and what they are expected to bring. */
function further(next: Proposal): HTMLElement {
  const spent = next.runs.reduce((sum, run) => sum + run.compute, 0);
  return h(
    "div",
    { id: "next" },
    h("h3", {}, "What to run next"),
    h(
      "p",
      {},
      `${next.runs.length} runs of ${flop(spent)} FLOP together: the recipe's expected regret is` +
        ` ${brief(next.now, 2)} nats per token now, ${brief(next.after, 2)} after these runs and` +
        ` ${brief(next.random, 2)} after as dear random ones. next.csv has them as a run table.`,
    ),
    table(
      "Runs to do next",
      ["run", "N, parameters", "corpus, tokens", "epochs", "r", "r_f", "r_1", "FLOP", "worth"],
      next.runs.map((run, i) => {
        const two = run.finalRatio > run.targetRatio * (1 + 1e-9);
        return [
          String(i + 1),
          count(run.nParams),
          count(run.targetTokens),
          ratio(run.epochs),
          ratio(run.targetRatio),
          two ? ratio(run.finalRatio) : MISSING,
          two ? ratio(run.firstRatio) : MISSING,
          flop(run.compute),
          share(run.worth),
        ];
      }),
    ),
    h(
      "p",
      { class: "faint" },
      "Worth: the share of the expected gain that is lost without the run.",
    ),
  );
}

export function coefficients(page: Page, language: Language): HTMLElement {
  const facts = [
    `${language.nRuns} runs`,
    language.r2 === null || !language.nRuns ? "" : `R² ${brief(language.r2, 4)}`,
    language.noise === null ? "" : `scatter around the fit ${percent(language.noise)}`,
  ];
  return h(
    "div",
    {},
    h("p", {}, `${language.name}: ${facts.filter(Boolean).join(", ")}.`),
    table(
      "Coefficients",
      ["coefficient", "value", "interval", "determined by the runs", "meaning"],
      page.law.coefficients.map(({ name, meaning }, j) => {
        const { value, low, high, determined } = language.coefficients[j];
        return [
          name,
          brief(value, 4),
          low === null || high === null ? MISSING : span([low, high], (x) => brief(x)),
          determined || MISSING,
          meaning,
        ];
      }),
    ),
    language.notes.length
      ? h("details", {}, h("summary", {}, "Notes on this fit"), list(language.notes))
      : null,
  );
}
