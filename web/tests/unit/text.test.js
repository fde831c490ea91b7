import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "../support/source.js";

const { split, blocks, inlines, isMath, selectTokens, toCsv, visible, signed } = await source("text", "perception");

test("reasoning is told from the answer, finished or not", () => {
  const cases = [
    ["<think> a </think> \\boxed{1}", "a", false, " \\boxed{1}"],
    ["<think> a", "a", true, ""],
    ["no tags", undefined, false, "no tags"],
    ["before <think>x</think>", "x", false, "before "],
    ["", undefined, false, ""],
  ];
  for (const [text, think, thinking, rest] of cases) {
    const found = split(text);
    assert.deepEqual([found.think, found.thinking, found.rest], [think, thinking, rest], text);
  }
});

test("runs are found where they close, and stay text where they do not", () => {
  const cases = [
    ["It is \\boxed{2}.", ["text:It is ", "boxed:2", "text:."]],
    ["\\boxed{\\frac{1}{2}}", ["boxed:\\frac{1}{2}"]],
    ["$\\boxed{7}$", ["boxed:7"]],
    ["\\boxed{2", ["text:\\boxed{2"]],
    ["$x^2$ and \\(y\\)", ["math:x^2", "text: and ", "math:y"]],
    ["$$x$$ \\[y\\]", ["math:x", "text: ", "math:y"]],
    ["costs $5 and $6", ["text:costs $5 and $6"]],
    ["$5", ["text:$5"]],
    ["**bold** *slanted* `code`", ["strong:bold", "text: ", "em:slanted", "text: ", "code:code"]],
    ["2 * 3 * 4", ["text:2 * 3 * 4"]],
    ["**open", ["text:**open"]],
    ["`<img onerror=x>`", ["code:<img onerror=x>"]],
  ];
  for (const [text, runs] of cases) {
    assert.deepEqual(inlines(text).map((run) => `${run.kind}:${run.text}`), runs, text);
  }
  assert.deepEqual(["2", "blue", "x^2", "\\pi"].map(isMath), [false, false, true, true]);
});

test("blocks are cut at blank lines, lists, headings and fences", () => {
  const text = "# Title\none\ntwo\n\n- item\n2. second\n```js\na\n\nb\n```\nlast";
  assert.deepEqual(blocks(text).map(({ kind, text }) => [kind, text]), [
    ["heading", "Title"], ["paragraph", "one\ntwo"], ["item", "item"], ["item", "second"],
    ["code", "a\n\nb"], ["paragraph", "last"],
  ]);
  assert.deepEqual(blocks("```\nopen").map(({ kind, text }) => [kind, text]), [["code", "open"]]);
  assert.deepEqual(blocks(" \n\n"), []);
});

const token = (shift, score, text = "a") => ({ id: 1, text, shift, score, entropy: 0.5, perception: false });

test("selection is the method's: the best among the rising, ties to the earlier", () => {
  const tokens = [token(0.3, 0.75), token(-0.1, 0), token(0.5, 0.5), token(0.5, 0.2), token(0, 0)];
  const cases = [
    [0.5, [0], 0.75], [0.7, [0, 2], 0.5], [1, [0, 2, 3], 0.2], [0, [0], 0.75],
  ];
  for (const [top, places, cutoff] of cases) {
    const found = selectTokens(tokens, top);
    const marked = found.selected.flatMap((is, place) => (is ? [place] : []));
    assert.deepEqual([marked, found.count, found.rising, found.cutoff], [places, places.length, 3, cutoff], `top ${top}`);
  }
  const equal = selectTokens([token(1, 0.5), token(1, 0.5), token(1, 0.5), token(1, 0.5)], 0.5);
  assert.deepEqual(equal.selected, [true, true, false, false]);
  assert.deepEqual(selectTokens([token(-1, 0)], 0.5).count, 0);
  assert.deepEqual(selectTokens([], 0.5).selected, []);
});

test("tables quote what needs it", () => {
  const csv = toCsv([token(0.5, 0.5, 'say "a,b"\n')], [true]);
  const [head, row] = csv.split("\r\n");
  assert.match(head, /^place,id,text,perception,shift,score,/);
  assert.match(row, /^0,1,"say ""a,b""\n",true,0\.5,0\.5,0\.5,/);
});

test("blanks and signs are visible", () => {
  assert.deepEqual([" red", "\n", "  ", "", "a b"].map(visible), ["red", "⏎", "␠␠", "∅", "a b"]);
  assert.deepEqual([signed(0.5), signed(-0.25), signed(0)], ["+0.500", "−0.250", "+0.000"]);
});
