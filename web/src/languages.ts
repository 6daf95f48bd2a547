/** All languages in a table that can be searched and sorted. */

import type { Page, Row } from "./data";
import { h, replace } from "./dom";
import { count, flop, loss, MISSING, ratio, share, span } from "./format";
import { REGIMES } from "./question";

interface Column {
  head: string;
  value: (row: Row) => number | string;
  write: (row: Row) => string;
}

const MOST = 500; // rows that are shown at once

export function languageTable(
  page: Page,
  start: Row,
  chosen: (row: Row) => void,
): { element: HTMLElement; mark: (language: number) => void } {
  const interval = (row: Row) =>
    row.low === null || row.high === null ? "" : ` (${span([row.low, row.high], loss)})`;
  const columns: Column[] = [
    {
      head: "language",
      value: (r) => page.languages[r.language].name.toLowerCase(),
      write: (r) => page.languages[r.language].name,
    },
    {
      head: "regime",
      value: (r) => r.regime ?? 9,
      write: (r) => (r.regime === null ? "none allowed" : REGIMES[r.regime]),
    },
    { head: "N, parameters", value: (r) => r.nParams ?? Infinity, write: (r) => count(r.nParams) },
    { head: "k, epochs", value: (r) => r.epochs ?? Infinity, write: (r) => ratio(r.epochs) },
    { head: "r", value: (r) => r.targetRatio ?? Infinity, write: (r) => ratio(r.targetRatio) },
    {
      head: "r_f",
      value: (r) => r.finalRatio ?? Infinity,
      write: (r) => (r.regime === 2 ? ratio(r.finalRatio) : MISSING),
    },
    {
      head: "loss, nats per token",
      value: (r) => r.loss ?? Infinity,
      write: (r) => (r.loss === null ? MISSING : loss(r.loss) + interval(r)),
    },
    {
      head: "budget used",
      value: (r) => r.used ?? Infinity,
      write: (r) => (r.used === null ? MISSING : share(Math.min(r.used, 1))),
    },
    {
      head: "grade",
      value: (r) => GRADES.indexOf(page.languages[r.language].grade),
      write: (r) => page.languages[r.language].grade,
    },
    { head: "compute, FLOP", value: (r) => r.compute, write: (r) => flop(r.compute) },
    { head: "corpus, tokens", value: (r) => r.targetTokens, write: (r) => count(r.targetTokens) },
  ];
  // Where several were asked of each language, one budget and one corpus size at a time.
  const first = page.rows.filter((row) => row.language === page.rows[0]?.language);
  const budgets = [...new Set(first.map((row) => row.compute))];
  const sizes = budgets.length ? first.length / budgets.length : 0;
  const place = new Map<Row, [number, number]>();
  const seen = new Map<number, number>();
  for (const row of page.rows) {
    const n = seen.get(row.language) ?? 0;
    seen.set(row.language, n + 1);
    place.set(row, [Math.floor(n / sizes), n % sizes]);
  }
  const choice = (label: string, names: string[], at: number) => {
    const select = h(
      "select",
      {},
      h("option", { value: -1 }, "all"),
      ...names.map((name, i) => h("option", { value: i, selected: i === at }, name)),
    );
    return { select, element: names.length > 1 ? h("label", {}, `${label} `, select) : null };
  };
  const [budgetFirst, sizeFirst] = page.languages.length > 1 ? place.get(start)! : [-1, -1];
  const budget = choice("compute", budgets.map(flop), budgetFirst);
  const common = first
    .slice(0, sizes)
    .every((row, i) =>
      page.rows.every(
        (other) => place.get(other)![1] !== i || other.targetTokens === row.targetTokens,
      ),
    );
  const size = choice(
    "corpus",
    first
      .slice(0, sizes)
      .map((row, i) => (common ? count(row.targetTokens) : `${i + 1} of ${sizes}`)),
    sizeFirst,
  );
  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: "name, regime, grade",
    autocomplete: "off",
  });
  const told = h("p", { class: "faint", role: "status" });
  const body = h("tbody");
  let sorted = -1;
  let falling = false;
  let marked = -1;
  const heads = columns.map((column, i) =>
    h(
      "th",
      { scope: "col", "aria-sort": "none" },
      h("button", { type: "button", click: () => sortBy(i) }, column.head),
    ),
  );

  function sortBy(i: number): void {
    falling = sorted === i && !falling;
    sorted = i;
    heads.forEach((head, j) =>
      head.setAttribute("aria-sort", j !== i ? "none" : falling ? "descending" : "ascending"),
    );
    show();
  }

  function shown(): Row[] {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = page.rows.filter((row) => {
      const [j, t] = place.get(row)!;
      const [b, s] = [Number(budget.select.value), Number(size.select.value)];
      if ((b >= 0 && b !== j && budgets.length > 1) || (s >= 0 && s !== t && sizes > 1))
        return false;
      const text = [0, 1, 8]
        .map((c) => columns[c].write(row)) // name, regime, grade
        .join(" ")
        .toLowerCase();
      return words.every((word) => text.includes(word));
    });
    if (sorted < 0) return rows;
    const { value } = columns[sorted];
    const sign = falling ? -1 : 1;
    return rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  }

  function show(): void {
    const rows = shown();
    replace(
      body,
      ...rows.slice(0, MOST).map((row) => {
        const cells = columns.map((column, i) =>
          i
            ? h("td", {}, column.write(row))
            : h(
                "th",
                { scope: "row" },
                h("button", { type: "button", click: () => chosen(row) }, column.write(row)),
              ),
        );
        const line = h(
          "tr",
          { "data-language": row.language, class: row.language === marked ? "marked" : "" },
          ...cells,
        );
        if (row.infeasible) line.title = row.infeasible;
        return line;
      }),
    );
    const all = page.rows.length;
    const cut = rows.length > MOST ? `; the first ${MOST} are shown, recipes.csv has all` : "";
    told.textContent =
      rows.length === all && !cut ? `${all} recipes` : `${rows.length} of ${all} recipes${cut}`;
  }

  for (const input of [budget.select, size.select]) input.addEventListener("change", show);
  search.addEventListener("input", show);
  show();
  const failed = page.notFitted.map(({ name, why }) => h("li", {}, `${name}: ${why}`));
  return {
    element: h(
      "div",
      {},
      h(
        "div",
        { class: "filters" },
        h("label", {}, "search ", search),
        budget.element,
        size.element,
      ),
      h(
        "div",
        { class: "wide tall", tabindex: 0, role: "region", "aria-label": "Recommended recipes" },
        h(
          "table",
          { id: "languages" },
          h("caption", { class: "unseen" }, "Recommended recipes"),
          h("thead", {}, h("tr", {}, ...heads)),
          body,
        ),
      ),
      told,
      failed.length
        ? h(
            "details",
            {},
            h("summary", {}, `${failed.length} without a fit`),
            h("ul", {}, ...failed),
          )
        : null,
    ),
    mark(language) {
      marked = language;
      for (const row of body.children) {
        row.classList.toggle("marked", row.getAttribute("data-language") === String(language));
      }
    },
  };
}

const GRADES = ["good", "usable", "weak", "unusable"];
