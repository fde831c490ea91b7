import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "../support/source.js";

const { serve, WorkerBackend, CppoError, Generation } = await source("host", "client", "errors", "generation");

/** Both ends of the protocol without a worker; messages are copied as a worker's are. */
function pair(backend) {
  const port = {
    terminated: false,
    sent: [],
    postMessage(message) {
      const copy = structuredClone(message);
      this.sent.push(copy);
      queueMicrotask(() => this.terminated || answer(copy));
    },
    terminate() {
      this.terminated = true;
    },
  };
  const answer = serve(backend, (message) => {
    const data = structuredClone(message);
    queueMicrotask(() => port.terminated || port.onmessage({ data }));
  });
  return { port, client: new WorkerBackend(port) };
}

test("results, tokens and progress arrive in order", async () => {
  const { client } = pair({
    async load(request, onProgress) {
      onProgress({ phase: "weights", loaded: 1 });
      return { manifest: request.model, storeError: new CppoError("quota", "full") };
    },
    async generate(request, images, onToken) {
      for (const text of ["a", "b"]) onToken({ index: 0, id: 1, text });
      return [{ text: "ab", images: images.length }];
    },
    async perceive(request, images, onPass) {
      for (const done of [0, 1]) onPass({ done, total: 2 });
      return { text: "ab" };
    },
    describeImage: async (image) => ({ tokens: image.length }),
  });
  const progress = [];
  const loaded = await client.load({ model: "m" }, (step) => progress.push(step.loaded));
  assert.equal(loaded.manifest, "m");
  assert.ok(loaded.storeError instanceof CppoError && loaded.storeError.code === "quota");
  assert.deepEqual(progress, [1]);
  const tokens = [];
  const responses = await client.generate({}, [new Uint8Array(2)], ({ text }) => tokens.push(text));
  assert.deepEqual([tokens, responses], [["a", "b"], [{ text: "ab", images: 1 }]]);
  const passes = [];
  assert.deepEqual(await client.perceive({}, [], ({ done, total }) => passes.push([done, total])), { text: "ab" });
  assert.deepEqual(passes, [[0, 2], [1, 2]]);
  assert.deepEqual(await client.describeImage(new Uint8Array(3)), { tokens: 3 });
});

test("errors keep code and message on their way", async () => {
  const cases = [
    [Object.assign(new Error("no such kind"), { name: "CppoError", code: "bad-request" }), "bad-request", /no such kind/],
    [new DOMException("stop", "AbortError"), "aborted", /stopped on request/],
    [new DOMException("full", "QuotaExceededError"), "quota", /no room/],
    [new RangeError("Array buffer allocation failed"), "out-of-memory", /allocation/],
    [Object.assign(new Error("x"), { name: "CppoError", code: "unheard-of" }), "internal", /x/],
    ["a string", "internal", /a string/],
  ];
  for (const [thrown, code, message] of cases) {
    const { client, port } = pair({ selftest: () => Promise.reject(thrown) });
    await assert.rejects(client.selftest(), (error) => {
      assert.ok(error instanceof CppoError && error.hint.length > 0);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    });
    assert.equal(port.terminated, false);
  }
});

test("a trap ends the worker, and everything under way with it", async () => {
  const { client, port } = pair({
    perturbations: () => new Promise(() => {}),
    selftest: () => Promise.reject(new WebAssembly.RuntimeError("unreachable")),
  });
  const waiting = assert.rejects(client.perturbations(), { code: "panic" });
  await assert.rejects(client.selftest(), { code: "panic", message: /unreachable/ });
  await waiting;
  assert.equal(port.terminated, true);
  await assert.rejects(client.selftest(), { code: "panic" }, "it stays ended");
});

test("an uncaught error in the worker is a crash, a script that does not load is not", async () => {
  for (const [message, code] of [["Uncaught RuntimeError", "panic"], ["", "network"]]) {
    const { client, port } = pair({ selftest: () => new Promise(() => {}) });
    const waiting = assert.rejects(client.selftest(), { code });
    port.onerror({ message });
    await waiting;
  }
});

test("an abort reaches the call it belongs to, and no other", async () => {
  const signals = [];
  const { client } = pair({
    perceive: (request, images, onPass, signal) => new Promise((resolve, reject) => {
      signals.push(signal);
      signal.addEventListener("abort", () => reject(signal.reason));
      setTimeout(() => resolve({}), 20);
    }),
  });
  const stop = new AbortController();
  const stopped = assert.rejects(client.perceive({}, [], undefined, stop.signal), { code: "aborted" });
  const other = client.perceive({}, []);
  setTimeout(() => stop.abort(), 5);
  await stopped;
  await other;
  assert.deepEqual(signals.map(({ aborted }) => aborted), [true, false]);
  await assert.rejects(client.perceive({}, [], undefined, AbortSignal.abort()), { code: "aborted" });
});

test("requests that cannot be copied are refused and leave nothing behind", async () => {
  const { client } = pair({ selftest: async () => "fine" });
  await assert.rejects(client.perceive({ messages: () => {} }, []), { code: "bad-request" });
  assert.equal(await client.selftest(), "fine");
});

test("a generation gives its tokens to the loop and the whole to result", async () => {
  const generation = new Generation(async (onToken) => {
    for (const text of ["a", "b", "c"]) {
      await new Promise((resolve) => setTimeout(resolve));
      onToken({ index: 0, id: 0, text });
    }
    return [{ text: "abc" }];
  });
  const texts = [];
  for await (const { text } of generation) texts.push(text);
  assert.deepEqual(texts, ["a", "b", "c"]);
  assert.deepEqual(await generation.result, { text: "abc" });
});

test("several readers of a generation all get everything", async () => {
  const generation = new Generation(async (onToken) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    onToken({ index: 0, id: 0, text: "a" });
    await new Promise((resolve) => setTimeout(resolve, 5));
    onToken({ index: 0, id: 0, text: "b" });
    return [{}];
  });
  const read = async () => {
    let text = "";
    for await (const token of generation) text += token.text;
    return text;
  };
  const late = generation.result.then(read);
  assert.deepEqual(await Promise.all([read(), read(), late]), ["ab", "ab", "ab"]);
});

test("leaving the loop stops the generation", async () => {
  let stopped = false;
  const generation = new Generation((onToken, signal) => new Promise((resolve, reject) => {
    onToken({ index: 0, id: 0, text: "a" });
    signal.addEventListener("abort", () => {
      stopped = true;
      reject(signal.reason);
    });
  }));
  for await (const _ of generation) break;
  assert.equal(stopped, true);
  await assert.rejects(generation.result, { code: "aborted" });
});

test("the error of a generation appears in the loop, after the tokens before it", async () => {
  const generation = new Generation(async (onToken) => {
    onToken({ index: 0, id: 0, text: "a" });
    throw new CppoError("device-lost", "gone");
  });
  const texts = [];
  await assert.rejects(async () => {
    for await (const { text } of generation) texts.push(text);
  }, { code: "device-lost" });
  assert.deepEqual(texts, ["a"]);
});
