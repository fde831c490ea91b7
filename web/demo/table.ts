/** The tokens as a table. */

import type { PerceivedToken } from "cppo-web";
import { signed, visible } from "cppo-web/view";
import { make } from "./dom.js";

const HEAD = ["Token", "Marked", "Score", "Shift", "Entropy", "without", "ln p", "without"];

export function fillTable(root: HTMLElement, tokens: PerceivedToken[], selected: boolean[]): void {
  const head = make("tr", {}, ...HEAD.map((text) => make("th", { scope: "col" }, text)));
  const rows = tokens.map((token, place) => {
    const cells = [
      selected[place] ? "yes" : "",
      token.score.toFixed(3),
      signed(token.shift),
      token.entropy.toFixed(3),
      token.entropy_removed.toFixed(3),
      token.logprob.toFixed(3),
      token.logprob_removed.toFixed(3),
    ];
    const row = make("tr", {}, make("th", { scope: "row" }, visible(token.text)), ...cells.map((cell) => make("td", {}, cell)));
    row.classList.toggle("marked", selected[place]);
    return row;
  });
  const caption = make("caption", { className: "visually-hidden" }, "Tokens with their scores; entropies in nats");
  root.replaceChildren(make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...rows)));
}
