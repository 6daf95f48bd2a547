/** An answer in three short sentences; `m3jax/output/html/_answer.py` says the same. */

import type { Answer, OverDraws } from "./answer";
import { brief, count, flop, level, loss, part, share, span } from "./format";
import { REGIMES, stageFraction, totalTokens, TWO_STAGE } from "./question";

const NOUNS: Record<string, string> = {
  n_params: "model size",
  target_tokens: "corpus size",
  total_tokens: "training tokens",
  epochs: "epochs",
  target_ratio: "target ratio",
  final_ratio: "final ratio",
  stage_fraction: "final stage",
};

export function sentences(answer: Answer, drawn: OverDraws | null, at: number): string[] {
  const { recipe, language, asked } = answer;
  if (answer.regime < 0) {
    const why = answer.whyNot.join("; ") || "the limits clash";
    return [`No recipe for ${language.name} is allowed with ${flop(asked.compute)} FLOP: ${why}.`];
  }
  const times = recipe.epochs >= 1 ? `${brief(recipe.epochs)} times` : "in part";
  const mix =
    recipe.targetRatio >= 1 - 1e-9
      ? "and nothing else"
      : answer.regime === TWO_STAGE
        ? `${part(recipe.targetRatio)} of all tokens, ${part(recipe.firstRatio)} at first and` +
          ` ${part(recipe.finalRatio)} in the last ${part(stageFraction(recipe))}`
        : `${part(recipe.targetRatio)} of all tokens throughout`;
  return [
    `Train ${count(recipe.nParams)} parameters on ${count(totalTokens(recipe))} tokens for` +
      ` ${language.name}: its text ${times}, ${mix}.`,
    `Expect a loss of ${loss(answer.loss)} nats per token` +
      (drawn ? ` (${level(at)} interval ${span(drawn.loss, loss)})` : "") +
      `${nextBest(answer)}.`,
    `It uses ${share(Math.min(answer.budgetUsed, 1))} of ${flop(asked.compute)} FLOP, is held by` +
      ` ${answer.heldBy.map(briefly).join(", ") || "no limit"}, and ${distance(answer)}.`,
  ];
}

/** A limit without who set it, which the card tells. */
const briefly = (words: string) => words.split(" (")[0];

function nextBest(answer: Answer): string {
  const others = answer.losses
    .map((value, regime) => ({ gap: value - answer.loss, regime }))
    .filter(({ gap, regime }) => regime !== answer.regime && Number.isFinite(gap) && gap > 5e-5)
    .sort((a, b) => a.gap - b.gap);
  if (!others.length) return "";
  return `; ${REGIMES[others[0].regime]} would lose ${loss(others[0].gap)}`;
}

export function distance(answer: Answer): string {
  if (!answer.outside.length) return `lies within what ${answer.language.ground} cover`;
  const words = answer.outside
    .slice(0, 3)
    .map(({ variable, factor, side }) => `${NOUNS[variable]} ${brief(factor)}× ${side}`);
  const warning = answer.outside[0].factor > 10 ? ": train smaller steps first" : "";
  return `lies beyond ${answer.language.ground} (${words.join(", ")})${warning}`;
}
