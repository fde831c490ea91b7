/** TeX to MathML, which browsers render by themselves; loaded when a response has maths. */

import katex from "katex";

/** Renders into an element; throws on TeX that is not understood. */
export function renderMath(element: HTMLElement, tex: string, display: boolean): void {
  // KaTeX escapes what it is given and, untrusted, makes neither links nor scripts.
  element.innerHTML = katex.renderToString(tex, { output: "mathml", displayMode: display, strict: "ignore", trust: false });
}
