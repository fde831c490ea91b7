/** A response as it streams: text only ever becomes text nodes, so nothing in it can run. */

import { blocks, inlines, isMath, split, type Block, type Inline } from "./text.js";

export class AnswerView {
  private readonly think: HTMLDetailsElement;
  private readonly reasoning: HTMLElement;
  private readonly body: HTMLElement;
  private shown: string[] = [];
  private wasThinking = false;

  /** @param root an element that this view fills */
  constructor(root: HTMLElement) {
    this.think = document.createElement("details");
    this.think.className = "cppo-think";
    this.think.setAttribute("part", "think");
    this.think.hidden = true;
    const summary = document.createElement("summary");
    summary.textContent = "Reasoning";
    this.reasoning = document.createElement("div");
    this.think.append(summary, this.reasoning);
    this.body = document.createElement("div");
    this.body.className = "cppo-body";
    root.replaceChildren(this.think, this.body);
  }

  /** Shows a response, or as much of it as is there; blocks that stay the same are left alone. */
  show(text: string): void {
    const { think, thinking, rest } = split(text);
    this.think.hidden = think === undefined;
    if (think !== undefined && this.reasoning.textContent !== think) this.reasoning.textContent = think;
    // Open while it is being written, folded once; afterwards as the reader leaves it.
    if (thinking !== this.wasThinking) this.think.open = thinking;
    this.wasThinking = thinking;
    const list = blocks(rest);
    let same = 0;
    while (same < list.length && this.shown[same] === list[same]!.source) same++;
    while (this.body.childNodes.length > same) this.body.lastChild!.remove();
    for (const block of list.slice(same)) this.body.append(blockElement(block));
    this.shown = list.map(({ source }) => source);
  }

  clear(): void {
    this.wasThinking = false;
    this.think.open = false;
    this.show("");
  }
}

function blockElement(block: Block): HTMLElement {
  if (block.kind === "code") {
    const pre = document.createElement("pre");
    pre.tabIndex = 0; // Scrolls by keyboard.
    pre.append(element("code", block.text));
    return pre;
  }
  const tag = document.createElement("p");
  tag.className = `cppo-${block.kind}`;
  if (block.kind === "item") tag.append(element("span", `${block.marker} `));
  tag.append(...inlines(block.text).map(inlineNode));
  return tag;
}

function inlineNode(run: Inline): Node {
  switch (run.kind) {
    case "text":
      return document.createTextNode(run.text);
    case "math":
      return mathElement(run.text, run.display);
    case "boxed": {
      const box = element("strong", "");
      box.className = "cppo-boxed";
      box.setAttribute("part", "boxed");
      box.append(isMath(run.text) ? mathElement(run.text, false) : run.text);
      return box;
    }
    default:
      return element(run.kind, run.text);
  }
}

function mathElement(tex: string, display: boolean): HTMLElement {
  const span = element("span", tex);
  span.className = display ? "cppo-math cppo-display" : "cppo-math";
  // What is not understood stays as it was written.
  import("./maths.js").then(({ renderMath }) => renderMath(span, tex, display)).catch(() => {});
  return span;
}

function element(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
