// The page in a real browser, with the fake engine.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { violations } from "../support/axe.js";
import { launch, openPage } from "../support/browser.js";
import { fakeModel, serve } from "../support/serve.js";

const OUTPUT = join(dirname(dirname(fileURLToPath(import.meta.url))), "output");
const SHARD = "/package/model/model-00002-of-00002.safetensors";

let browser;
let server;
let opened;
before(async () => {
  browser = await launch();
  await mkdir(OUTPUT, { recursive: true });
});
after(() => browser.close());
beforeEach(async () => {
  server = await serve({ fake: {}, files: fakeModel() });
});
afterEach(async () => {
  await opened?.context.close();
  await server.close();
  assert.deepEqual(opened?.foreign, [], "no request leaves the site");
  assert.deepEqual(opened?.errors, [], "no uncaught error");
});

async function open(path = "/", options = { serviceWorkers: "block" }) {
  opened = await openPage(browser, server.origin, options);
  await opened.page.goto(path);
  return opened.page;
}

async function ready(path, options) {
  const page = await open(path, options);
  await page.waitForSelector("html[data-ready]");
  return page;
}

async function ask(page) {
  await page.click("#ask");
  await page.waitForSelector("#perception:not([hidden]):not([aria-busy])");
}

const text = (page, selector) => page.locator(selector).innerText();

test("the demo loads by itself, answers a sample's question and shows what it saw", async () => {
  const page = await ready();
  assert.equal(await text(page, "#device-text"), "demo on processor");
  assert.match(await page.inputValue("#question"), /^How many red shapes/);
  assert.equal(await text(page, "#picture-info"), "84 × 84, 9 visual tokens");
  await ask(page);
  assert.equal(await text(page, "#answer .cppo-boxed"), "1");
  assert.equal(await text(page, "#status"), "Answered: 1");
  assert.equal(await page.locator("#answer details").getAttribute("open"), null, "the reasoning is folded");
  assert.match(await text(page, "#stats"), /42\.0 tokens\/s[\s\S]*9 visual tokens/);
  assert.match(await text(page, "#perception-summary"), /^6 of 15 tokens come from the picture/);
  assert.equal(await page.locator("#tokens .cppo-token.selected").count(), 6);
  await page.screenshot({ path: join(OUTPUT, "page.png"), fullPage: true });
});

test("tokens appear as they come, and stop ends them within one", async () => {
  server.fake = { pace: 60 };
  const page = await ready();
  await page.click("#ask");
  await page.locator("#answer details", { hasText: "blue" }).waitFor();
  assert.equal(await page.getAttribute("#answer", "aria-busy"), "true");
  await page.evaluate(() => {
    document.querySelector("#stop").click();
    window.atStop = document.querySelector("#answer details div").textContent;
  });
  await page.locator("#status", { hasText: "Stopped." }).waitFor();
  const [before, after] = [await page.evaluate(() => window.atStop), await text(page, "#answer details div")];
  const words = (shown) => shown.match(/[a-z]+|[;.]/g).length;
  assert.ok(words(after) - words(before) <= 1, `${before} -> ${after}`);
  assert.equal(await page.isVisible("#perception"), false);
  assert.equal(await page.isVisible("#ask"), true);
});

test("a double click on Ask asks once and stops nothing", async () => {
  const page = await ready();
  await page.dblclick("#ask");
  await page.locator("#status", { hasText: "Answered: 1" }).waitFor();
});

test("regenerate draws with the next seed, copy copies", async () => {
  const page = await ready("/#temperature=0.7&seed=4&look=0", { serviceWorkers: "block", permissions: ["clipboard-read", "clipboard-write"] });
  await page.click("#ask");
  await page.locator("#status", { hasText: "Answered" }).waitFor();
  await page.click("#again");
  await page.locator("#status", { hasText: "Answered" }).waitFor();
  assert.equal(await page.inputValue("#seed"), "5");
  assert.equal(await page.isVisible("#perception"), false, "look=0 leaves the perception view out");
  await page.click("#copy");
  await page.locator("#copy", { hasText: "Copied" }).waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /\\boxed\{1\}/);
});

test("tokens are walked by keyboard, one in the tab order, with candidates under both pictures", async () => {
  const page = await ready();
  await ask(page);
  const options = page.locator("#tokens [role=option]");
  assert.equal(await page.locator("#tokens [role=option][tabindex='0']").count(), 1);
  await page.locator("#tokens [tabindex='0']").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  assert.equal(await options.nth(1).getAttribute("aria-selected"), "true");
  assert.match(await options.nth(1).getAttribute("aria-label"), /^top: score 0\.84, less sure without the picture/);
  assert.match(await text(page, ".cppo-detail"), /token 2 of 15[\s\S]*With the picture[\s\S]*top[\s\S]*Without its information[\s\S]*other/);
  await page.keyboard.press("End");
  assert.equal(await options.last().evaluate((option) => option === document.activeElement), true);
  await options.nth(3).hover();
  assert.match(await text(page, ".cppo-detail"), /blue token 4 of 15/);
});

test("looking again tells how far it is, and a new question ends it", async () => {
  server.fake = { pace: 100 };
  const page = await ready();
  await page.click("#ask");
  await page.locator("#perception-summary", { hasText: /without the picture's information, [1-8] of 9…/ }).waitFor();
  await page.click("#ask");
  await page.locator("#status", { hasText: "Answering…" }).waitFor();
  assert.equal(await page.isVisible("#perception"), false);
  await page.locator("#perception-summary", { hasText: "6 of 15 tokens come from the picture" }).waitFor();
});

test("the slider marks more or fewer tokens, by the method's rule", async () => {
  const page = await ready();
  await ask(page);
  for (const [top, count] of [[100, 13], [0, 1], [30, 3]]) {
    await page.locator("#top").fill(String(top));
    assert.match(await text(page, "#perception-summary"), new RegExp(`^${count} of 15`));
    assert.equal(await page.locator("#tokens .cppo-token.selected").count(), count);
  }
});

test("another perturbation is looked at by itself, and stays in the address", async () => {
  const page = await ready();
  await ask(page);
  assert.equal(await page.isVisible("#strength"), false);
  await page.selectOption("#kind", "patch_mask");
  assert.equal(await page.isVisible("#strength"), true);
  await page.locator("#strength").fill("0.8");
  await page.selectOption("#kind", "blank");
  await page.locator("#perception-summary", { hasText: "score at least 0.94" }).waitFor();
  await page.locator("#top").fill("25");
  await page.locator("label", { hasText: "Table" }).click();
  await page.waitForFunction(() => location.hash.includes("view=table"));
  const url = page.url();
  assert.match(url, /removing=blank/);
  await opened.context.close();
  const again = await ready(url.slice(server.origin.length));
  await ask(again);
  assert.equal(await again.inputValue("#kind"), "blank");
  assert.match(await text(again, "#perception-summary"), /^3 of 15.*0\.94/);
  assert.equal(await again.isVisible("#table"), true);
});

test("table and files hold every token", async () => {
  const page = await ready("/#view=table");
  await ask(page);
  assert.equal(await page.locator("#table tbody tr").count(), 15);
  assert.equal(await page.locator("#table tbody tr.marked").count(), 6);
  const save = async (button) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
  const csv = (await save("#export-csv")).toString();
  assert.equal(csv.trim().split("\r\n").length, 16);
  const json = JSON.parse((await save("#export-json")).toString());
  assert.deepEqual([json.tokens.length, json.answer, json.images], [15, "1", undefined]);
  assert.equal(json.tokens.filter(({ perception }) => perception).length, 6);
  const png = await save("#export-png");
  assert.equal(png.subarray(1, 4).toString(), "PNG");
});

test("a click on a token measures where in the picture it comes from", async () => {
  const page = await ready();
  await ask(page);
  await page.locator("#tokens [role=option]", { hasText: "blue" }).click();
  await page.locator("#original-caption", { hasText: /hiding no part makes/ }).waitFor();
});

test("pictures come from files, the clipboard and drops; what is no picture is said", async () => {
  const page = await ready();
  const png = Buffer.from(await (await fetch(`${server.origin}/shapes.png`)).arrayBuffer());
  await page.setInputFiles("#file", { name: "a.png", mimeType: "image/png", buffer: png });
  await page.locator("#picture-info", { hasText: "84 × 84, 9 visual tokens" }).waitFor();
  assert.equal(await page.locator(".sample[aria-pressed=true]").count(), 0);
  await page.setInputFiles("#file", { name: "b.png", mimeType: "image/png", buffer: Buffer.from("no picture at all, but long") });
  await page.locator("#picture-info", { hasText: "the picture is no PNG" }).waitFor();
  const give = (type, name) => page.evaluate(async ([type, name]) => {
    const data = new DataTransfer();
    const bytes = await (await fetch("shapes.png")).arrayBuffer();
    data.items.add(new File([bytes], "a", { type: name }));
    const init = type === "paste" ? { clipboardData: data } : { dataTransfer: data };
    const Kind = type === "paste" ? ClipboardEvent : DragEvent;
    document.body.dispatchEvent(new Kind(type, { ...init, bubbles: true, cancelable: true }));
  }, [type, name]);
  await give("paste", "image/png");
  await page.locator("#picture-info", { hasText: "9 visual tokens" }).waitFor();
  await give("drop", "text/plain");
  await page.locator("#picture-info", { hasText: "That is not a picture." }).waitFor();
  await give("drop", "image/png");
  await page.locator("#picture-info", { hasText: "9 visual tokens" }).waitFor();
});

test("the camera gives a picture, and is switched off afterwards", async () => {
  const page = await ready();
  await page.click("#camera");
  await page.locator("#snap:enabled").waitFor();
  assert.deepEqual(await violations(page), []);
  await page.click("#snap");
  await page.locator("#picture-info", { hasText: /^640 × 480, seen as 84 × 84/ }).waitFor();
  assert.equal(await page.evaluate(() => document.querySelector("#video").srcObject), null);
  await page.click("#camera");
  await page.click("#camera-close");
  assert.match(await text(page, "#picture-info"), /^640 × 480/, "closing changes nothing");
});

test("without WebGPU the page says why it is slow, and works", async () => {
  const plain = await launch({ webgpu: false });
  opened = await openPage(plain, server.origin, { serviceWorkers: "block" });
  const { page } = opened;
  await page.goto("/");
  await page.waitForSelector("html[data-ready]");
  assert.match(await text(page, "#loading"), /offers no WebGPU adapter.*runs on the processor.*hardware acceleration must be on/s);
  await ask(page);
  assert.deepEqual(await violations(page), []);
  await plain.close();
});

test("after the first visit the page works without a network", async () => {
  const page = await ready("/", {});
  await page.waitForFunction(() => navigator.serviceWorker.ready.then(({ active }) => active?.state === "activated"));
  await server.close();
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await ask(page);
  assert.equal(await text(page, "#answer .cppo-boxed"), "1");
  server = await serve();
});

test("weights come from the cache the second time, until it is cleared", async () => {
  const page = await ready();
  server.requests.length = 0;
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  const shards = () => server.requests.filter(({ path }) => path.endsWith(".safetensors")).length;
  assert.equal(shards(), 0);
  await page.click("#device-chip");
  await page.click("#clear-cache");
  await page.locator("#clear-cache", { hasText: "Cleared" }).waitFor();
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  assert.equal(shards(), 2);
});

test("a damaged shard is refused in words, and a repaired server heals it", async () => {
  const { files } = server;
  const good = files["model-00002-of-00002.safetensors"];
  files["model-00002-of-00002.safetensors"] = Buffer.from(good).fill(9, 0, 1);
  const page = await open();
  await page.locator("#loading-error", { hasText: "model-00002-of-00002.safetensors is damaged" }).waitFor();
  assert.match(await text(page, "#loading-error"), /Try again/);
  assert.deepEqual(await violations(page), []);
  files["model-00002-of-00002.safetensors"] = good;
  await page.click("#loading-start");
  await page.waitForSelector("html[data-ready]");
});

test("a missing shard and a missing model name their address", async () => {
  server.refuse.set(SHARD, 404);
  const page = await open();
  await page.locator("#loading-error", { hasText: "could not be fetched: the server answered 404" }).waitFor();
  await page.goto("/?model=/nowhere/");
  await page.locator("#loading-error", { hasText: "/nowhere/manifest.json could not be fetched" }).waitFor();
});

test("without room in the cache the page works and says so", async () => {
  opened = await openPage(browser, server.origin, { serviceWorkers: "block" });
  const { page } = opened;
  // The worker is where weights are kept, so the fault is planted there.
  await page.route("**/package/worker.js", async (route) => {
    const response = await route.fetch();
    const fault = `Cache.prototype.put = async () => { throw new DOMException("full", "QuotaExceededError"); };\n`;
    await route.fulfill({ response, body: fault + (await response.text()) });
  });
  await page.goto("/");
  await page.waitForSelector("html[data-ready]");
  assert.match(await text(page, "#loading"), /will be downloaded again next time: this browser has no room left for the model/);
});

test("a demanded but missing adapter is explained, and the processor offered", async () => {
  server.fake = { fail: { method: "open", code: "no-adapter" } };
  const page = await open("/?device=webgpu");
  await page.locator("#loading-error", { hasText: "made to fail in open" }).waitFor();
  assert.match(await text(page, "#loading-error"), /Use a browser with WebGPU/);
  server.fake = {};
  await page.click("#loading-cpu");
  await page.waitForSelector("html[data-ready]");
});

for (const [code, message] of [["device-lost", "made to fail in generate"], ["trap", "the engine crashed: unreachable"]]) {
  test(`after ${code} in the middle of an answer the engine can be restarted`, async () => {
    server.fake = { fail: { method: "generate", code, at: 4 } };
    const page = await ready();
    await page.click("#ask");
    await page.locator("#error", { hasText: message }).waitFor();
    assert.equal(await text(page, "#device-text"), "The engine is gone");
    assert.match(await text(page, "#answer"), /Reasoning/);
    server.fake = {};
    server.requests.length = 0;
    await page.click("#restart");
    await page.locator("#status", { hasText: "The engine is back." }).waitFor();
    assert.equal(server.requests.filter(({ path }) => path.endsWith(".safetensors")).length, 0, "from the cache");
    await ask(page);
    assert.equal(await text(page, "#answer .cppo-boxed"), "1");
    assert.equal(await page.isVisible("#error"), false);
  });
}

test("?selftest says how this browser compares with the native binary", async () => {
  const page = await ready("/?selftest");
  await page.locator("#selftest[data-passed=true]").waitFor();
  assert.match(await text(page, "#selftest-text"), /^Passed: 12 of 12 tokens.*at most 3\.0e-6/);
});

test("a model of a size that matters waits for a click, and says what it needs", async () => {
  const manifest = JSON.parse(server.files["manifest.json"]);
  Object.assign(manifest, { name: "large", requirements: { download_bytes: 2.1e9, device_bytes: 2.6e9, largest_buffer_bytes: 1e8 } });
  server.files["manifest.json"] = Buffer.from(JSON.stringify(manifest));
  const page = await open();
  await page.locator("#loading-start:visible").waitFor();
  assert.match(await text(page, "#loading-text"), /large.*2\.1 GB to download, 2\.6 GB of memory/);
  assert.equal(server.requests.some(({ path }) => path.endsWith(".safetensors")), false);
  await page.click("#loading-start");
  await page.waitForSelector("html[data-ready]");
  assert.equal(await page.isChecked("#reason"), true, "models that were not schooled on the samples are told to reason");
});

test("maths is set, code in answers is text", async () => {
  server.fake = { response: "<think> x </think> So $\\frac{1}{2}$ <img/src=x/onerror=alert(1)> \\boxed{\\frac{3}{4}}" };
  const page = await ready("/#look=0");
  await page.click("#ask");
  await page.locator("#answer .cppo-boxed math mfrac").waitFor();
  assert.equal(await page.locator("#answer math").count(), 2);
  assert.equal(await page.locator("#answer img").count(), 0);
});

for (const [name, options] of [
  ["light", {}], ["dark", { colorScheme: "dark" }],
  ["phone", { viewport: { width: 360, height: 740 } }],
]) {
  test(`the page is accessible and fits: ${name}`, async () => {
    const page = await ready("/", { serviceWorkers: "block", reducedMotion: "reduce", ...options });
    await page.locator(".settings summary").click();
    await ask(page);
    assert.deepEqual(await violations(page), []);
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= window, `${wide} > ${window}`);
    await page.screenshot({ path: join(OUTPUT, `${name}.png`), fullPage: true });
    await page.locator("label", { hasText: "Table" }).click();
    await page.click("#device-chip");
    assert.deepEqual(await violations(page), []);
    await page.screenshot({ path: join(OUTPUT, `${name}-dialog.png`) });
  });
}
