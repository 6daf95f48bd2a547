/** Sliders over orders of magnitude, each with a field that takes a number: 2B, 1e21. */

import { h } from "./dom";
import { brief, count } from "./format";

const STEPS = 400;
const FACTORS: Record<string, number> = { "": 1, k: 1e3, m: 1e6, b: 1e9, g: 1e9, t: 1e12 };

export interface Slider {
  element: HTMLElement;
  value: number;
  set(value: number): void;
  range(low: number, high: number): void;
}

/** A number as people write it, or NaN. */
export function parsed(text: string): number {
  const match = /^\s*([\d.]+(?:e[+-]?\d+)?)\s*([kmbgt]?)\s*$/i.exec(text.replaceAll(",", ""));
  return match ? Number(match[1]) * FACTORS[match[2].toLowerCase()] : NaN;
}

/** `open` is what the right end stands for where that is no limit at all. */
export function slider(
  id: string,
  label: string,
  unit: string,
  open: string | null,
  changed: () => void,
): Slider {
  const write = unit === "FLOP" || unit === "passes" ? brief : count;
  const range = h("input", { type: "range", id, min: 0, max: STEPS, step: 1 });
  const field = h("input", {
    type: "text",
    id: `${id}-field`,
    "aria-label": `${label}, ${unit}`,
    autocomplete: "off",
    size: 8,
  });
  let [low, high] = [1, 10];
  const self: Slider = {
    element: h(
      "div",
      { class: "slider" },
      h("label", { for: id }, label, h("span", { class: "faint" }, ` ${unit}`)),
      range,
      field,
    ),
    value: 1,
    set(value) {
      self.value = value;
      const at = (STEPS * Math.log(value / low)) / Math.log(high / low);
      range.value = String(value === Infinity ? STEPS : Math.round(at));
      const text = value === Infinity ? open! : write(value);
      field.value = text;
      range.setAttribute("aria-valuetext", `${text} ${value === Infinity ? "" : unit}`);
    },
    range(from, to) {
      [low, high] = [from, Math.max(to, from * 1.0001)];
      self.set(self.value);
    },
  };
  range.addEventListener("input", () => {
    const at = Number(range.value);
    self.set(open !== null && at === STEPS ? Infinity : low * (high / low) ** (at / STEPS));
    changed();
  });
  field.addEventListener("change", () => {
    const value = field.value.trim() === open ? Infinity : parsed(field.value);
    field.setAttribute("aria-invalid", String(!(value > 0)));
    if (value > 0 && (value < Infinity || open !== null)) {
      self.set(value);
      changed();
    }
  });
  return self;
}
