// `<cppo-vlm>` and the package's interface in a real browser, with the fake engine.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { violations } from "../support/axe.js";
import { launch, openPage } from "../support/browser.js";
import { fakeModel, serve } from "../support/serve.js";

let browser;
let server;
let page;
let opened;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  server = await serve({ fake: {}, files: fakeModel() });
  opened = await openPage(browser, server.origin, { serviceWorkers: "block" });
  ({ page } = opened);
  await page.goto("/embed.html");
});
afterEach(async () => {
  await opened.context.close();
  await server.close();
  assert.deepEqual([opened.foreign, opened.errors], [[], []]);
});

const count = (suffix) => server.requests.filter(({ path }) => path.endsWith(suffix)).length;

test("nothing is loaded before a question is asked", async () => {
  await page.waitForFunction(() => customElements.get("cppo-vlm"));
  await page.waitForTimeout(200);
  assert.deepEqual([count("engine.js"), count("manifest.json"), count("worker.js")], [0, 0, 0]);
});

test("two elements answer with one worker and one model, and tell what happens in events", async () => {
  await page.evaluate(() => {
    window.events = [];
    for (const element of document.querySelectorAll("cppo-vlm")) {
      for (const type of ["progress", "token", "answer", "perceived", "error"]) {
        element.addEventListener(type, ({ detail }) => window.events.push([type, detail]));
      }
    }
  });
  const [first, second] = [page.locator("cppo-vlm").first(), page.locator("cppo-vlm").last()];
  await first.locator("[part=ask]").click();
  await second.locator("[part=ask]").click();
  await first.locator(".status", { hasText: "6 of 15 tokens come from the picture" }).waitFor();
  await second.locator(".status", { hasText: "9 visual tokens, 15 answered, 42.0 tokens/s" }).waitFor();
  for (const element of [first, second]) assert.equal(await element.locator("[part=boxed]").innerText(), "1");
  assert.equal(await first.locator("[role=option]").count(), 15);
  assert.equal(await second.locator("[role=option]").count(), 0, "without perceive");
  assert.deepEqual([count("engine.js"), count("worker.js"), count(".safetensors")], [1, 1, 2]);
  const types = await page.evaluate(() => window.events.map(([type]) => type));
  const tally = (type) => types.filter((other) => other === type).length;
  assert.deepEqual([tally("token"), tally("answer"), tally("perceived"), tally("error")], [30, 2, 1, 0]);
  assert.ok(tally("progress") > 0);
  assert.deepEqual(await violations(page), []);
});

test("stop stops, and another question can be asked", async () => {
  server.fake = { pace: 60 };
  const element = page.locator("cppo-vlm").first();
  await element.locator("[part=ask]").click();
  await element.locator(".status", { hasText: "Answering" }).waitFor();
  await element.locator("[part=stop]").click();
  assert.equal(await element.locator(".status").innerText(), "Stopped");
  const answer = await element.evaluate((vlm) => vlm.ask("How many blue shapes?").then(({ answer }) => answer));
  assert.equal(answer, "1");
  assert.equal(await element.evaluate((vlm) => vlm.question), "How many blue shapes?");
});

test("an element without picture or model says so, and works once it has them", async () => {
  const element = page.locator("cppo-vlm").last();
  await element.evaluate((vlm) => vlm.removeAttribute("src"));
  await element.locator("[part=ask]").click();
  assert.match(await element.locator("[role=alert]").innerText(), /choose a picture first/);
  await element.evaluate((vlm) => {
    vlm.setAttribute("model", "/nowhere/");
    vlm.src = "shapes.png";
  });
  await element.locator("[part=ask]").click();
  await element.locator("[role=alert]", { hasText: "could not be fetched" }).waitFor();
  await element.evaluate((vlm) => vlm.removeAttribute("model"));
  await element.locator("[part=ask]").click();
  await element.locator("[part=boxed]").waitFor();
  assert.equal(await element.locator("[role=alert]").isVisible(), false);
});

test("after a crash asking again restarts the engine for all elements", async () => {
  server.fake = { fail: { method: "generate", code: "trap", at: 2 } };
  const [first, second] = [page.locator("cppo-vlm").first(), page.locator("cppo-vlm").last()];
  await first.locator("[part=ask]").click();
  await first.locator("[role=alert]", { hasText: "the engine crashed" }).waitFor();
  server.fake = {};
  await second.locator("[part=ask]").click();
  await second.locator("[part=boxed]").waitFor();
  await first.locator("[part=ask]").click();
  await first.locator("[part=boxed]").waitFor();
  assert.equal(count("engine.js"), 2, "one crash, one restart");
});

test("an element that leaves the page takes its model along, one that comes asks by itself if told to", async () => {
  await page.evaluate(() => {
    document.querySelectorAll("cppo-vlm").forEach((element) => element.remove());
    const element = document.createElement("cppo-vlm");
    element.setAttribute("auto", "");
    element.question = "How many?";
    window.answered = new Promise((resolve) => element.addEventListener("answer", resolve));
    document.querySelector("main").append(element);
    element.src = "shapes.png";
  });
  await page.evaluate(() => window.answered);
  assert.equal(page.workers().length, 1);
  await page.evaluate(() => document.querySelector("cppo-vlm").remove());
  while (page.workers().length) await new Promise((resolve) => setTimeout(resolve, 20));
});

/** Runs a function in the page with the package's module. */
const withPackage = (body, argument) => page.evaluate(
  async ([code, given]) => new Function("cppo", "given", `return (${code})(cppo, given)`)(await import("/package/index.js"), given),
  [String(body), argument],
);

test("the engine gives the same on the calling thread as in a worker", async () => {
  const results = await withPackage(async ({ load }) => {
    const found = [];
    for (const thread of ["worker", "caller"]) {
      const model = await load({ thread });
      const { text, usage } = await model.generate({ question: "?", image: "shapes.png" }).result;
      const { tokens } = await model.perceive({ question: "?", image: "shapes.png" });
      found.push({ text, usage, marked: tokens.filter(({ perception }) => perception).length, device: model.device });
      await model.unload();
    }
    return found;
  });
  assert.deepEqual(results[0], results[1]);
  assert.equal(results[0].marked, 6);
});

test("calls under way at the same time wait for each other", async () => {
  const answers = await withPackage(async ({ load }) => {
    const model = await load();
    const ask = () => model.generate({ question: "?", image: "shapes.png" }).result;
    const [a, b, c] = await Promise.all([ask(), model.perceive({ question: "?", image: "shapes.png" }), ask()]);
    return [a.answer, b.answer, c.answer];
  });
  assert.deepEqual(answers, ["1", "1", "1"]);
});

test("chat completions have OpenAI's form, whole and streamed", async () => {
  const { whole, chunks } = await withPackage(async ({ load }) => {
    const model = await load();
    const image = await (await fetch("shapes.png")).blob();
    const url = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(image);
    });
    const content = [{ type: "image_url", image_url: { url } }, { type: "text", text: "How many?" }];
    const messages = [{ role: "system", content: "Be brief." }, { role: "user", content }];
    const whole = await model.chat.completions.create({ messages, logprobs: true, top_logprobs: 2, max_tokens: 3 });
    const chunks = [];
    for await (const chunk of await model.chat.completions.create({ messages, stream: true })) chunks.push(chunk);
    return { whole, chunks };
  });
  assert.equal(whole.object, "chat.completion");
  const [choice] = whole.choices;
  assert.deepEqual([choice.message, choice.finish_reason], [{ role: "assistant", content: "<think> top left" }, "length"]);
  assert.deepEqual(choice.logprobs.content[1], { token: " top", logprob: -0.1, bytes: [32, 116, 111, 112], top_logprobs: [] });
  assert.deepEqual(whole.usage, { prompt_tokens: 20, completion_tokens: 3, total_tokens: 23 });
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.match(chunks.map(({ choices }) => choices[0].delta.content ?? "").join(""), /^<think> top .*\\boxed\{1\}$/);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

test("probe says what is needed and what is there before any weights move", async () => {
  const found = await withPackage(async ({ probe }) => probe("demo"));
  assert.deepEqual(found.needs, { downloadBytes: 200_004, deviceBytes: 1_000_000, largestBufferBytes: 100_000 });
  assert.deepEqual([found.has.cachedBytes, found.has.webgpu, found.has.adapter.software, found.device], [0, true, true, "cpu"]);
  assert.equal(count(".safetensors"), 0);
  const after = await withPackage(async ({ probe, load }) => {
    await (await load()).unload();
    return probe("demo");
  });
  assert.equal(after.has.cachedBytes, 200_004);
});

test("loading can be stopped, and goes on later", async () => {
  const outcome = await withPackage(async ({ load }) => {
    const stop = new AbortController();
    const loading = load({ signal: stop.signal, onProgress: ({ phase }) => phase === "weights" && stop.abort() });
    return loading.then(() => "loaded", ({ name, code }) => [name, code]);
  });
  assert.deepEqual(outcome, ["CppoError", "aborted"]);
  assert.equal(await withPackage(async ({ load }) => (await load()).manifest.name), "demo");
});

test("requests that make no sense are refused before the engine sees them", async () => {
  const codes = await withPackage(async ({ load }) => {
    const model = await load();
    const code = (promise) => promise.then(() => "none", (error) => error.code);
    return Promise.all([
      code(model.generate({}).result),
      code(model.perceive({ question: "?", image: 5 })),
      code(model.generate({ question: "?", image: "missing.png" }).result),
      code(model.generate({ messages: [{ role: "user", content: "?" }], images: ["shapes.png"] }).result),
      code(model.chat.completions.create({ messages: [{ role: "user", content: [{ type: "audio" }] }] })),
      code(load({ workerUrl: "missing.js" })),
      code(load({ engineUrl: "missing.js" })),
    ]);
  });
  assert.deepEqual(codes, ["bad-request", "bad-image", "network", "bad-request", "bad-request", "network", "network"]);
});

test("files that the user picks load without a network", async () => {
  const files = Object.entries(fakeModel({ name: "mine" })).map(([name, bytes]) => [name, bytes.toString("base64")]);
  const name = await withPackage(async ({ load }, given) => {
    const picked = given.map(([file, base64]) => new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], file));
    return (await load({ model: picked })).manifest.name;
  }, files);
  assert.equal(name, "mine");
  assert.equal(count("manifest.json"), 0);
});
