/** The tokens of an answer, underlined by how much each needs the picture, with what the model would say without it. */

import { describeToken, selectTokens, signed, visible, type Selection } from "./perception.js";
import type { Candidate, PerceivedToken } from "./types.js";

/** Fired by a view's root when another token is looked at. */
export class TokenEvent extends Event {
  constructor(
    readonly place: number,
    /** Whether it was chosen by click or Enter rather than passed. */
    readonly chosen: boolean,
  ) {
    super("tokenview", { bubbles: true, composed: true });
  }
}

export class TokenView {
  private readonly list: HTMLElement;
  private readonly detail: HTMLElement;
  private tokens: PerceivedToken[] = [];
  private options: HTMLElement[] = [];
  private current = 0;
  private share = 0.5;
  private selection: Selection = { selected: [], count: 0, rising: 0, cutoff: 0 };

  /** @param root an element that this view fills */
  constructor(private readonly root: HTMLElement) {
    this.list = document.createElement("div");
    this.list.className = "cppo-tokens";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Tokens of the answer");
    this.list.setAttribute("aria-orientation", "horizontal");
    this.detail = document.createElement("div");
    this.detail.className = "cppo-detail";
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    this.list.addEventListener("focusin", (event) => this.look(event.target));
    this.list.addEventListener("pointerover", (event) => this.look(event.target));
    this.list.addEventListener("click", (event) => this.choose(event.target));
    root.replaceChildren(this.list, this.detail);
  }

  show(tokens: PerceivedToken[]): void {
    this.tokens = tokens;
    this.options = tokens.map((token) => optionElement(token));
    this.list.replaceChildren(...this.options);
    this.detail.replaceChildren();
    this.top = this.share;
    const first = this.selection.selected.indexOf(true);
    if (tokens.length) this.setCurrent(Math.max(first, 0), false);
  }

  /** Share of the rising tokens that are marked. */
  set top(share: number) {
    this.share = share;
    this.selection = selectTokens(this.tokens, share);
    this.options.forEach((option, place) => {
      const selected = this.selection.selected[place]!;
      option.classList.toggle("selected", selected);
      option.setAttribute("aria-label", describeToken(this.tokens[place]!, selected));
    });
    if (this.tokens.length && this.detail.firstChild) this.renderDetail();
  }

  get top(): number {
    return this.share;
  }

  /** What is marked now. */
  get marked(): Selection {
    return this.selection;
  }

  private onKey(event: KeyboardEvent): void {
    const last = this.tokens.length - 1;
    const step: Record<string, number> = {
      ArrowRight: this.current + 1, ArrowDown: this.current + 1,
      ArrowLeft: this.current - 1, ArrowUp: this.current - 1,
      Home: 0, End: last,
    };
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(event.target);
      return;
    }
    const next = step[event.key];
    if (next === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.setCurrent(Math.min(Math.max(next, 0), last), true);
  }

  private look(target: EventTarget | null): void {
    const place = this.placeOf(target);
    if (place >= 0 && place !== this.current) this.setCurrent(place, false);
  }

  private choose(target: EventTarget | null): void {
    const place = this.placeOf(target);
    if (place < 0) return;
    this.setCurrent(place, true);
    this.root.dispatchEvent(new TokenEvent(place, true));
  }

  private placeOf(target: EventTarget | null): number {
    const option = (target as HTMLElement | null)?.closest?.<HTMLElement>("[role=option]");
    return option ? this.options.indexOf(option) : -1;
  }

  /** Only the current token is in the tab order; arrows go to the others. */
  private setCurrent(place: number, focus: boolean): void {
    const before = this.options[this.current];
    before?.setAttribute("aria-selected", "false");
    if (before) before.tabIndex = -1;
    this.current = place;
    const option = this.options[place]!;
    option.setAttribute("aria-selected", "true");
    option.tabIndex = 0;
    if (focus) option.focus();
    this.renderDetail();
    this.root.dispatchEvent(new TokenEvent(place, false));
  }

  private renderDetail(): void {
    const place = this.current;
    const token = this.tokens[place]!;
    const heading = make("p", "cppo-detail-head");
    heading.append(
      make("b", "", visible(token.text)),
      ` token ${place + 1} of ${this.tokens.length}`,
      this.selection.selected[place] ? " · comes from the picture" : "",
    );
    const numbers = make("p", "cppo-numbers",
      `entropy ${token.entropy.toFixed(3)} → ${token.entropy_removed.toFixed(3)} nats, ` +
      `shift ${signed(token.shift)}, score ${token.score.toFixed(3)}`);
    const columns = make("div", "cppo-candidates");
    columns.append(
      candidates("With the picture", token.top_logprobs, token.id),
      candidates("Without its information", token.top_logprobs_removed, token.id),
    );
    this.detail.replaceChildren(heading, numbers, columns);
  }
}

function optionElement(token: PerceivedToken): HTMLElement {
  const option = make("span", "cppo-token");
  option.setAttribute("role", "option");
  option.setAttribute("aria-selected", "false");
  option.tabIndex = -1;
  if (/^<\|.*\|>$/.test(token.text)) option.classList.add("special");
  option.classList.toggle("falls", token.shift < 0);
  option.style.setProperty("--score", String(Math.min(Math.max(token.score, 0), 1).toFixed(3)));
  // Blanks stay outside of the underline; a token of nothing else is shown by a sign.
  const [, lead = "", word = "", tail = ""] = /^(\s*)(.*?)(\s*)$/s.exec(token.text) ?? [];
  const mark = make("span", "cppo-mark", word || visible(token.text));
  option.append(word ? lead : "", mark, word ? tail : token.text.includes("\n") ? "\n" : "");
  return option;
}

function candidates(title: string, list: Candidate[], id: number): HTMLElement {
  const table = make("table", "");
  table.append(make("caption", "", title));
  const body = make("tbody", "");
  for (const candidate of list) {
    const share = Math.exp(candidate.logprob);
    const row = make("tr", candidate.id === id ? "chosen" : "");
    const bar = make("td", "cppo-bar");
    bar.append(make("span", ""));
    bar.style.setProperty("--share", share.toFixed(4));
    const name = make("th", "", visible(candidate.text));
    name.setAttribute("scope", "row");
    row.append(name, make("td", "cppo-percent", `${(100 * share).toFixed(1)} %`), bar);
    body.append(row);
  }
  table.append(body);
  return table;
}

function make(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
