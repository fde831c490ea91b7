// The page with the real engine and demo model: `web/build` and `npm run build` come first.
//
// What it is compared with was printed by the native binary:
//   cppo infer --plain --device cpu --image docs/shapes.png "How many purple shapes?" --logprobs 5 --json
//   cppo perceive --device cpu --image docs/shapes.png "How many purple shapes?" --json
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch, openPage } from "../support/browser.js";
import { compareTokens, printed as native, QUESTION, TOLERANCE } from "../support/native.js";
import { DIST, serve } from "../support/serve.js";

const here = dirname(fileURLToPath(import.meta.url));
const OUTPUT = join(here, "../output");

let browser;
let server;
const measured = {};
before(async () => {
  assert.ok(await stat(join(DIST, "package/engine_bg.wasm")).catch(() => false), "build the engine first: web/build");
  await mkdir(OUTPUT, { recursive: true });
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  await writeFile(join(OUTPUT, "measured.json"), JSON.stringify(measured, null, 1));
  console.log(measured);
});

test("the browser has a WebGPU adapter", async () => {
  const { page, context } = await openPage(browser, server.origin);
  await page.goto("/embed.html");
  const info = await page.evaluate(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    return adapter && { vendor: adapter.info.vendor, architecture: adapter.info.architecture, description: adapter.info.description };
  });
  console.log("WebGPU adapter:", info);
  assert.ok(info, "no adapter: the tests would show nothing about WebGPU");
  await context.close();
});

for (const device of ["cpu", "webgpu"]) {
  test(`${device}: tokens are the native binary's, log-probabilities nearly`, { timeout: 600_000 }, async () => {
    const { page, context, errors } = await openPage(browser, server.origin, { serviceWorkers: "block" });
    page.setDefaultTimeout(300_000);
    await page.goto("/embed.html");
    const found = await page.evaluate(async ([device, question]) => {
      const { load } = await import("/package/index.js");
      const start = performance.now();
      const model = await load({ device });
      const load_ms = performance.now() - start;
      const ask = { question, image: "/shapes.png" };
      const cold = await model.generate({ ...ask, logprobs: 5 }).result;
      const again = await model.generate({ ...ask, logprobs: 5 }).result;
      const warm = await model.generate(ask).result;
      const { images, ...perceived } = await model.perceive({ ...ask, draws: 4, top_logprobs: 5 });
      const pictures = [...images.removed, ...images.preserved].map((png) => String.fromCharCode(...png.slice(1, 4)));
      const selftest = await model.selftest();
      await model.unload();
      return { device: model.device, load_ms, cold, again, warm, perceived, pictures, selftest };
    }, [device, QUESTION]);
    assert.equal(found.device.backend, device);
    const { timing } = found.warm;
    measured[device] = {
      adapter: found.device.adapter,
      load_s: found.load_ms / 1000,
      cold_first_token_s: found.cold.timing.first_token_s,
      first_token_s: timing.first_token_s,
      tokens_per_s: timing.tokens_per_s,
      selftest: found.selftest,
    };
    const infer = await native("infer");
    compareTokens(found.cold.tokens, infer.tokens, ["logprob"], TOLERANCE[device]);
    compareTokens(found.again.tokens, infer.tokens, ["logprob"], TOLERANCE[device]);
    assert.deepEqual([found.cold.text, found.cold.answer, found.cold.usage], [infer.text, infer.answer, infer.usage]);
    const perceive = await native("perceive");
    const fields = ["logprob", "logprob_preserved", "logprob_removed"];
    compareTokens(found.perceived.tokens, perceive.tokens, fields, TOLERANCE[device]);
    const marked = ({ tokens }) => tokens.map(({ perception }) => perception);
    assert.deepEqual(marked(found.perceived), marked(perceive));
    assert.deepEqual(found.pictures, ["PNG", "PNG"]);
    assert.equal(found.selftest.passed, true);
    assert.deepEqual(errors, []);
    await context.close();
  });
}

for (const device of ["cpu", "webgpu"]) {
  test(`${device}: an abort stops within one token`, { timeout: 300_000 }, async () => {
    const { page, context } = await openPage(browser, server.origin, { serviceWorkers: "block" });
    page.setDefaultTimeout(150_000);
    await page.goto("/embed.html");
    const runs = await page.evaluate(async ([device, question]) => {
      const { load, INSTRUCTION } = await import("/package/index.js");
      const runs = {};
      for (const thread of ["caller", "worker"]) {
        const model = await load({ device, thread });
        // The demo model does not know the instruction and goes on until the limit.
        const generation = model.generate({ question: `${question} ${INSTRUCTION}`, image: "/shapes.png", max_new_tokens: 400 });
        let tokens = 0;
        for await (const _ of generation) if (++tokens === 3) generation.abort();
        const { finish_reason } = await generation.result;
        runs[thread] = { tokens, finish_reason };
        const { answer } = await model.generate({ question, image: "/shapes.png" }).result;
        runs[thread].next = answer;
        await model.unload();
      }
      return runs;
    }, [device, QUESTION]);
    const { answer } = await native("infer");
    assert.deepEqual([runs.caller.finish_reason, runs.worker.finish_reason], ["cancelled", "cancelled"]);
    assert.deepEqual([runs.caller.next, runs.worker.next], [answer, answer]);
    assert.ok(runs.caller.tokens <= 4, `${runs.caller.tokens - 3} tokens after the abort`);
    // A message takes its time to the worker, in which a small model says some more.
    assert.ok(runs.worker.tokens < 100, `${runs.worker.tokens} tokens`);
    await context.close();
  });
}

test("the page answers, shows what it saw, and does it again without a network", { timeout: 300_000 }, async () => {
  const { page, context, errors, foreign } = await openPage(browser, server.origin);
  page.setDefaultTimeout(120_000);
  await page.goto("/?selftest&device=cpu");
  await page.locator("#selftest[data-passed=true]").waitFor();
  const ask = async () => {
    await page.fill("#question", QUESTION);
    await page.setInputFiles("#file", join(DIST, "shapes.png"));
    await page.locator("#picture-info", { hasText: "9 visual tokens" }).waitFor();
    await page.click("#ask");
    await page.waitForSelector("#perception:not([hidden]):not([aria-busy])");
    return page.locator("#answer .cppo-boxed").innerText();
  };
  const { answer } = await native("infer");
  assert.equal(await ask(), answer);
  assert.equal(await page.locator(".sample img").count(), 6);
  const selected = (await native("perceive")).tokens.flatMap(({ perception }, place) => (perception ? [place] : []));
  assert.equal(await page.locator("#tokens .selected").count(), selected.length);
  await page.locator("#tokens .selected").first().click();
  await page.locator("#original-caption", { hasText: /hiding/ }).waitFor();
  await page.screenshot({ path: join(OUTPUT, "engine-page.png"), fullPage: true });
  await page.waitForFunction(() => navigator.serviceWorker.ready.then(({ active }) => active?.state === "activated"));
  await server.close();
  await page.goto("/?device=cpu");
  await page.waitForSelector("html[data-ready]");
  assert.equal(await ask(), answer);
  assert.deepEqual([errors, foreign], [[], []]);
  await context.close();
  server = await serve();
});

test("two elements share the engine, on one page", { timeout: 300_000 }, async () => {
  const { page, context, errors } = await openPage(browser, server.origin, { serviceWorkers: "block" });
  page.setDefaultTimeout(120_000);
  await page.goto("/embed.html");
  for (const element of [page.locator("cppo-vlm").first(), page.locator("cppo-vlm").last()]) {
    await element.locator("[part=ask]").click();
  }
  for (const element of [page.locator("cppo-vlm").first(), page.locator("cppo-vlm").last()]) {
    await element.locator("[part=boxed]").waitFor();
  }
  await page.locator("cppo-vlm").first().locator("[role=option]").first().waitFor();
  assert.equal(page.workers().length, 1);
  assert.deepEqual(errors, []);
  await context.close();
});
