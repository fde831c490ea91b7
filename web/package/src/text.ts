/** The parts of a response while it grows: reasoning, prose, maths, code, and the boxed answer. */

export interface Parts {
  /** Between `<think>` and `</think>`, to the end while it is unfinished. */
  think?: string;
  /** Whether the reasoning has not ended yet. */
  thinking: boolean;
  /** What is outside of it. */
  rest: string;
}

export type Inline =
  | { kind: "text" | "strong" | "em" | "code"; text: string }
  | { kind: "math"; text: string; display: boolean }
  | { kind: "boxed"; text: string };

export type Block =
  | { kind: "paragraph" | "heading" | "item"; source: string; text: string; marker?: string }
  | { kind: "code"; source: string; text: string };

/** Separates reasoning from what is said. */
export function split(text: string): Parts {
  const open = text.indexOf("<think>");
  if (open < 0) return { thinking: false, rest: text };
  const start = open + "<think>".length;
  const close = text.indexOf("</think>", start);
  const before = text.slice(0, open);
  if (close < 0) return { think: text.slice(start).trim(), thinking: true, rest: before };
  return {
    think: text.slice(start, close).trim(),
    thinking: false,
    rest: before + text.slice(close + "</think>".length),
  };
}

/** Cuts Markdown into blocks; a fence that is still open reaches to the end. */
export function blocks(text: string): Block[] {
  const found: Block[] = [];
  let lines: string[] = [];
  const flush = () => {
    const source = lines.join("\n");
    if (source.trim()) found.push({ kind: "paragraph", source, text: source.trim() });
    lines = [];
  };
  const all = text.split("\n");
  for (let at = 0; at < all.length; at++) {
    const line = all[at]!;
    const item = /^\s*([-*+]|\d+[.)])\s+(.*)$/.exec(line);
    const heading = /^#{1,6}\s+(.*)$/.exec(line);
    if (line.trimStart().startsWith("```")) {
      flush();
      const end = all.findIndex((other, place) => place > at && other.trim() === "```");
      const stop = end < 0 ? all.length : end;
      const code = all.slice(at + 1, stop).join("\n");
      found.push({ kind: "code", source: all.slice(at, stop + 1).join("\n"), text: code });
      at = stop;
    } else if (item) {
      flush();
      found.push({ kind: "item", source: line, text: item[2]!, marker: /\d/.test(item[1]!) ? item[1]! : "•" });
    } else if (heading) {
      flush();
      found.push({ kind: "heading", source: line, text: heading[1]! });
    } else if (line.trim() === "") {
      flush();
    } else {
      lines.push(line);
    }
  }
  flush();
  return found;
}

const DELIMITERS: [open: string, close: string, kind: "math" | "display" | "code" | "strong" | "em"][] = [
  ["$$", "$$", "display"],
  ["\\[", "\\]", "display"],
  ["\\(", "\\)", "math"],
  ["`", "`", "code"],
  ["**", "**", "strong"],
  ["$", "$", "math"],
  ["*", "*", "em"],
];

const BOX = "\\boxed{";

/** Cuts a block's text into runs; what is opened and not closed stays text. */
export function inlines(text: string): Inline[] {
  const found: Inline[] = [];
  let plain = "";
  const push = (run: Inline) => {
    if (plain) found.push({ kind: "text", text: plain });
    plain = "";
    found.push(run);
  };
  for (let at = 0; at < text.length; ) {
    if (text.startsWith(BOX, at)) {
      const end = closingBrace(text, at + BOX.length);
      if (end !== undefined) {
        push({ kind: "boxed", text: text.slice(at + BOX.length, end).trim() });
        at = end + 1;
        continue;
      }
    }
    const match = delimited(text, at);
    if (match) {
      const { kind, inner, end } = match;
      const box = kind === "math" || kind === "display" ? onlyBox(inner) : undefined;
      if (box !== undefined) push({ kind: "boxed", text: box });
      else if (kind === "math" || kind === "display") push({ kind: "math", text: inner, display: kind === "display" });
      else push({ kind, text: inner });
      at = end;
    } else {
      plain += text[at++];
    }
  }
  if (plain) found.push({ kind: "text", text: plain });
  return found;
}

/** Whether a boxed answer is maths rather than a word or a number. */
export function isMath(text: string): boolean {
  return /[\\^_{}]/.test(text);
}

function delimited(text: string, at: number) {
  for (const [open, close, kind] of DELIMITERS) {
    if (!text.startsWith(open, at)) continue;
    const start = at + open.length;
    const end = text.indexOf(close, start);
    if (end <= start) continue;
    const inner = text.slice(start, end);
    // Dollars of prices and lone asterisks have blanks beside them, or a figure behind.
    const loose = /^\s|\s$/.test(inner) || (open === "$" && /\d/.test(text[end + 1] ?? ""));
    if ((open === "$" || open === "*" || open === "**") && loose) continue;
    return { kind, inner, end: end + close.length };
  }
  return undefined;
}

function onlyBox(maths: string): string | undefined {
  const inner = maths.trim();
  if (!inner.startsWith(BOX)) return undefined;
  const end = closingBrace(inner, BOX.length);
  return end === inner.length - 1 ? inner.slice(BOX.length, end).trim() : undefined;
}

function closingBrace(text: string, start: number): number | undefined {
  let depth = 1;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
  }
  return undefined;
}
