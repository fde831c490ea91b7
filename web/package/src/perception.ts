/** Which tokens count as perception tokens, and tables of them. */

import type { PerceivedToken } from "./types.js";

export interface Selection {
  selected: boolean[];
  count: number;
  /** Tokens whose entropy rises once information is removed: those that compete. */
  rising: number;
  /** The least score among the selected. */
  cutoff: number;
}

/**
 * The `k` best scores among the tokens whose entropy rises, `k = max(1, floor(top · rising))`; of
 * equal scores the earlier token wins. The same rule as in training, for another share.
 */
export function selectTokens(tokens: PerceivedToken[], top: number): Selection {
  const rising = tokens.map((_, place) => place).filter((place) => tokens[place]!.shift > 0);
  rising.sort((a, b) => tokens[b]!.score - tokens[a]!.score || a - b);
  const count = rising.length ? Math.max(1, Math.floor(top * rising.length)) : 0;
  const best = rising.slice(0, count);
  const selected = tokens.map(() => false);
  for (const place of best) selected[place] = true;
  return { selected, count: best.length, rising: rising.length, cutoff: best.length ? tokens[best.at(-1)!]!.score : 0 };
}

const COLUMNS = [
  "place", "id", "text", "perception", "shift", "score",
  "entropy", "entropy_preserved", "entropy_removed",
  "logprob", "logprob_preserved", "logprob_removed",
] as const;

/** Comma-separated values with a header, RFC 4180. */
export function toCsv(tokens: PerceivedToken[], selected: boolean[]): string {
  const rows = tokens.map((token, place) => {
    const row = { ...token, place, perception: selected[place] ?? token.perception };
    return COLUMNS.map((column) => quoted(String(row[column]))).join(",");
  });
  return [COLUMNS.join(","), ...rows, ""].join("\r\n");
}

function quoted(value: string): string {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** A token's text with its blanks made visible. */
export function visible(text: string): string {
  if (text === "") return "∅";
  const shown = text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll("\r", "␍");
  return shown.trim() === "" ? shown.replaceAll(" ", "␠") : shown.trim();
}

/** A number with its sign, also where it is positive. */
export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}

/** A token in words, for screen readers and titles. */
export function describeToken(token: PerceivedToken, selected: boolean): string {
  const change = token.shift >= 0 ? "less sure without the picture" : "surer without the picture";
  return `${visible(token.text)}: score ${token.score.toFixed(2)}, ${change}${selected ? ", perception token" : ""}`;
}
