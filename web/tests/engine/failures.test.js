// What goes wrong around the real engine is told, and can be got over.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch, openPage } from "../support/browser.js";
import { printed, PICTURE, QUESTION } from "../support/native.js";
import { serve } from "../support/serve.js";

const OUTPUT = join(dirname(fileURLToPath(import.meta.url)), "../output");
const SHARD = "**/package/model/*.safetensors";
/** Ends the device in the middle of an answer, as a crash of its driver would. */
const LOSE_DEVICE = `
const generate = Engine.prototype.generate;
Engine.prototype.generate = function (request, images, onToken, signal) {
  let tokens = 0;
  const tell = (token) => {
    onToken(token);
    if (++tokens === 3) this.destroyDevice();
  };
  return generate.call(this, request, images, tell, signal);
};
`;
const FULL = `Cache.prototype.put = async () => { throw new DOMException("full", "QuotaExceededError"); };\n`;

let browser;
let server;
before(async () => {
  await mkdir(OUTPUT, { recursive: true });
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

async function open(path, { from = browser, faults = {} } = {}) {
  const opened = await openPage(from, server.origin, { serviceWorkers: "block" });
  opened.page.setDefaultTimeout(120_000);
  for (const [pattern, change] of Object.entries(faults)) {
    await opened.page.route(pattern, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: change(await response.body()) });
    });
  }
  await opened.page.goto(path);
  return opened;
}

/** Loads, asks, and waits for the answer and what it saw. */
async function ask(page) {
  await page.waitForSelector("html[data-ready]");
  await page.fill("#question", QUESTION);
  await page.setInputFiles("#file", PICTURE);
  await page.locator("#picture-info", { hasText: "9 visual tokens" }).waitFor();
  await page.click("#ask");
}

async function answers(page) {
  await ask(page);
  await page.waitForSelector("#perception:not([hidden]):not([aria-busy])");
  assert.equal(await page.locator("#answer .cppo-boxed").innerText(), (await printed("infer")).answer);
}

/** What the element says and fires. */
async function askElement(page) {
  return page.evaluate(async () => {
    await customElements.whenDefined("cppo-vlm");
    const element = document.querySelector("cppo-vlm");
    const fired = [];
    element.addEventListener("error", ({ detail }) => fired.push(detail.code));
    const outcome = await element.ask().then(({ answer }) => answer, ({ code }) => code);
    const { hidden, textContent } = element.shadowRoot.querySelector("[part=error]");
    return { fired, outcome, shown: hidden ? "" : textContent };
  });
}

const flipped = (body, place) => {
  const bytes = Buffer.from(body);
  bytes[place] ^= 1;
  return bytes;
};

test("a shard with one flipped bit is refused by name, and loads once the server is well", { timeout: 300_000 }, async () => {
  const faults = { [SHARD]: (body) => flipped(body, body.length - 1) };
  const { page, context, errors } = await open("/?device=cpu", { faults });
  await page.locator("#loading-error", { hasText: "model-00001-of-00001.safetensors is damaged: its SHA-256" }).waitFor();
  await page.screenshot({ path: join(OUTPUT, "failure-shard.png"), fullPage: true });
  await page.unroute(SHARD);
  await page.click("#loading-start");
  await answers(page);
  assert.deepEqual(errors, []);
  await context.close();

  const element = await open("/embed.html", { faults });
  const { fired, outcome, shown } = await askElement(element.page);
  assert.deepEqual([fired, outcome], [["integrity"], "integrity"]);
  assert.match(shown, /is damaged.*Try again/);
  await element.context.close();
});

test("a shard that is damaged in spite of its digest is refused by the engine", { timeout: 120_000 }, async () => {
  const SIZE = 8; // Of the header, at the start; then comes JSON.
  const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
  let shard;
  const { page, context } = await open("/embed.html", {
    faults: {
      [SHARD]: () => shard,
      "**/package/model/manifest.json": async () => "",
    },
  });
  const get = async (name) => Buffer.from(await (await fetch(`${server.origin}/package/model/${name}`)).arrayBuffer());
  shard = flipped(await get("model-00001-of-00001.safetensors"), SIZE);
  const manifest = JSON.parse(await get("manifest.json"));
  manifest.shards[0].sha256 = digest(shard);
  await page.route("**/package/model/manifest.json", (route) => route.fulfill({ json: manifest }));
  const { fired, outcome, shown } = await askElement(page);
  assert.deepEqual([fired, outcome], [["bad-model"], "bad-model"]);
  assert.match(shown, /model-00001-of-00001\.safetensors.*Export the model again/);
  await context.close();
});

test("a device lost in the middle of an answer is told, and a restart brings the model back", { timeout: 600_000 }, async () => {
  const engine = "**/package/engine.js";
  const faults = { [engine]: (body) => body + LOSE_DEVICE };
  const { page, context, errors } = await open("/?device=webgpu", { faults });
  await ask(page);
  await page.locator("#error:not([hidden])").waitFor();
  assert.match(await page.locator("#error").innerText(), /[^.]\. Load the model again; the weights come from this browser's cache/);
  assert.equal(await page.locator("#device-text").innerText(), "The engine is gone");
  await page.screenshot({ path: join(OUTPUT, "failure-device.png"), fullPage: true });
  await page.unroute(engine);
  server.requests.length = 0;
  await page.click("#restart");
  await page.locator("#status", { hasText: "The engine is back." }).waitFor();
  assert.equal(server.requests.filter(({ path }) => path.endsWith(".safetensors")).length, 0, "from the cache");
  await answers(page);
  assert.deepEqual(errors, []);
  await context.close();

  const element = await open("/embed.html", { faults });
  await element.page.evaluate(() => document.querySelector("cppo-vlm").setAttribute("device", "webgpu"));
  const lost = await askElement(element.page);
  assert.deepEqual([lost.fired, lost.outcome], [["device-lost"], "device-lost"]);
  await element.page.unroute(engine);
  const back = await askElement(element.page);
  assert.deepEqual([back.fired, back.shown], [[], ""]);
  assert.match(back.outcome, /^\d+$/);
  await element.context.close();
});

test("without an adapter the processor is used and said, and a demand for WebGPU is refused", { timeout: 300_000 }, async () => {
  const without = await launch({ webgpu: false });
  try {
    const { page, context } = await open("/", { from: without });
    await answers(page);
    assert.equal(await page.locator("#device-text").innerText(), "demo on processor");
    assert.match(await page.locator("#loading").innerText(), /no WebGPU adapter, so the model runs on the processor/);
    await page.goto("/?device=webgpu");
    await page.locator("#loading-error", { hasText: "no WebGPU adapter" }).waitFor();
    assert.match(await page.locator("#loading-error").innerText(), /Use a browser with WebGPU/);
    await page.screenshot({ path: join(OUTPUT, "failure-adapter.png"), fullPage: true });
    await page.click("#loading-cpu");
    await answers(page);
    await page.goto("/embed.html");
    await page.evaluate(() => document.querySelector("cppo-vlm").setAttribute("device", "webgpu"));
    const { fired, outcome, shown } = await askElement(page);
    assert.deepEqual([fired, outcome], [["no-adapter"], "no-adapter"]);
    assert.match(shown, /no WebGPU adapter/);
    await context.close();
  } finally {
    await without.close();
  }
});

test("without room for the weights the model answers, and the page says that they are not kept", { timeout: 300_000 }, async () => {
  const faults = { "**/package/worker.js": (body) => FULL + body };
  const { page, context, errors } = await open("/?device=cpu", { faults });
  await answers(page);
  assert.match(await page.locator("#loading").innerText(), /will be downloaded again next time: this browser has no room left for the model/);
  await page.screenshot({ path: join(OUTPUT, "failure-quota.png"), fullPage: true });
  const code = await page.evaluate(async () => {
    const { load } = await import("/package/index.js");
    const model = await load({ device: "cpu" });
    const { code } = model.storeError;
    await model.unload();
    return code;
  });
  assert.equal(code, "quota");
  assert.deepEqual(errors, []);
  await context.close();
});

for (const device of ["cpu", "webgpu"]) {
  test(`${device}: an abort stops perceive within one token or pass`, { timeout: 600_000 }, async () => {
    const { page, context } = await open("/embed.html");
    page.setDefaultTimeout(300_000);
    const runs = await page.evaluate(async ([device, question]) => {
      const { load, INSTRUCTION } = await import("/package/index.js");
      const runs = {};
      const ask = { question, image: "/shapes.png" };
      // The demo model does not know the instruction and goes on until the limit.
      const long = { question: `${question} ${INSTRUCTION}`, image: "/shapes.png", max_new_tokens: 400 };
      for (const thread of ["caller", "worker"]) {
        const model = await load({ device, thread });
        const run = async (request, at) => {
          const stop = new AbortController();
          const seen = [];
          const onPass = ({ done, total }) => {
            seen.push(done);
            if (done === at) stop.abort();
            runs.total = total;
          };
          const code = await model.perceive({ ...request, draws: 20, onPass, signal: stop.signal }).then(() => "ended", ({ code }) => code);
          return { code, last: seen.at(-1) };
        };
        runs[thread] = { answering: await run(long, 0), looking: await run({ ...ask, response: " two" }, 2) };
        runs[thread].next = (await model.generate(ask).result).answer;
        await model.unload();
      }
      return runs;
    }, [device, QUESTION]);
    const { answer } = await printed("infer");
    assert.equal(runs.total, 41);
    for (const { answering, looking, next } of [runs.caller, runs.worker]) {
      assert.deepEqual([answering, looking.code, next], [{ code: "aborted", last: 0 }, "aborted", answer]);
    }
    assert.equal(runs.caller.looking.last, 2);
    // A message takes its time to the worker, in which a small model gets on.
    assert.ok(runs.worker.looking.last < 40, `${runs.worker.looking.last} passes`);
    await context.close();
  });
}
