import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "../support/source.js";

const { Meter, bytesText, secondsText, progressText } = await source("progress", "format");

function meter(total) {
  let time = 5000;
  const made = new Meter(total, () => time);
  return { made, wait: (seconds) => (time += 1000 * seconds) };
}

test("rate and time left come from the network's bytes of the last seconds", () => {
  const { made, wait } = meter(1000);
  made.cache(200);
  wait(1);
  made.fetch(100);
  const { loaded, cached, rate, eta } = made.progress("weights");
  assert.deepEqual({ loaded, cached, rate, eta }, { loaded: 300, cached: 200, rate: 100, eta: 7 });
});

test("an old pace is forgotten", () => {
  const { made, wait } = meter(10_000);
  for (let second = 0; second < 10; second++) {
    wait(1);
    made.fetch(500);
  }
  for (let second = 0; second < 10; second++) {
    wait(1);
    made.fetch(50);
  }
  assert.equal(Math.round(made.progress("weights").rate), 50);
});

test("before the first byte nothing is claimed, at the end nothing is left", () => {
  const { made, wait } = meter(100);
  assert.deepEqual([made.progress("weights").rate, made.progress("weights").eta], [0, undefined]);
  made.cache(100);
  wait(1);
  assert.equal(made.progress("ready").eta, 0);
});

test("bytes that turn out damaged are taken back and do not count as pace", () => {
  const { made, wait } = meter(100);
  wait(1);
  made.fetch(100);
  made.fetch(-100);
  const { loaded, rate } = made.progress("weights");
  assert.deepEqual([loaded, rate], [0, 100]);
});

test("amounts read as people write them", () => {
  const bytes = [[0, "0 B"], [999, "999 B"], [1000, "1.0 kB"], [3_717_472, "3.7 MB"], [64 * 2 ** 20, "67 MB"], [2.1e9, "2.1 GB"], [999_999, "1.0 MB"]];
  for (const [amount, text] of bytes) assert.equal(bytesText(amount), text);
  const times = [[0.2, "1 s"], [59, "59 s"], [125, "2 min 5 s"], [3780, "1 h 3 min"]];
  for (const [amount, text] of times) assert.equal(secondsText(amount), text);
  const progress = { phase: "weights", loaded: 1e6, total: 4e6, cached: 0, rate: 1e6, eta: 3 };
  assert.equal(progressText(progress), "Loading 1.0 MB of 4.0 MB, 1.0 MB/s, 3 s left");
  assert.equal(progressText({ ...progress, rate: 0, cached: 1e6 }), "Loading 1.0 MB of 4.0 MB from this device");
});
