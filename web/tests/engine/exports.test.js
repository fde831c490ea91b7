// Exported models of every number format in the real engine, beside the native program on the same files.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch, openPage } from "../support/browser.js";
import { compareTokens, cppo, PICTURE, QUESTION, TOLERANCE } from "../support/native.js";
import { serve } from "../support/serve.js";

let browser;
let server;
let models;
before(async () => {
  models = await mkdtemp(join(tmpdir(), "cppo-exports-"));
  server = await serve({ models });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  await rm(models, { recursive: true, force: true });
});

for (const dtype of ["f16", "q8", "q4"]) {
  test(`${dtype}: greedy tokens are the native program's on both devices`, { timeout: 600_000 }, async () => {
    const folder = join(models, dtype);
    await cppo("export", "--dtype", dtype, "--quiet", "--out", folder);
    const native = JSON.parse(await cppo(
      "infer", "--model", folder, "--plain", "--device", "cpu", "--image", PICTURE, QUESTION,
      "--temperature", "0", "--max-new-tokens", "24", "--logprobs", "1", "--json",
    ));
    assert.ok(native.tokens.length > 4);
    for (const device of ["cpu", "webgpu"]) {
      const { page, context, errors } = await openPage(browser, server.origin, { serviceWorkers: "block" });
      page.setDefaultTimeout(300_000);
      await page.goto("/embed.html");
      const found = await page.evaluate(async ([device, question, dtype]) => {
        const { load } = await import("/package/index.js");
        const model = await load({ device, model: `/models/${dtype}/` });
        const adapter = await navigator.gpu.requestAdapter();
        const response = await model.generate({
          question, image: "/shapes.png", temperature: 0, max_new_tokens: 24, logprobs: 1,
        }).result;
        await model.unload();
        return {
          response, device: model.device, dtype: model.manifest.dtype,
          adapterF16: adapter.features.has("shader-f16"),
        };
      }, [device, QUESTION, dtype]);
      assert.deepEqual([found.dtype, found.device.backend], [dtype, device]);
      // Without half precision in the adapter the weights are computed with in f32.
      assert.equal(found.device.f16, device === "webgpu" && found.adapterF16);
      compareTokens(found.response.tokens, native.tokens, ["logprob"], TOLERANCE[device]);
      assert.deepEqual(errors, []);
      await context.close();
    }
  });
}
