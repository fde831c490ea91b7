// Decoding speed of the demo model on the processor, in the browser beside the native program: `npm run speed [ROUNDS]`.
import { join } from "node:path";
import { launch, openPage } from "./browser.js";
import { cppoOn, PICTURE, QUESTION } from "./native.js";
import { DIST, serve } from "./serve.js";

const TOKENS = 200;
const rounds = Number(process.argv[2] ?? 10);
const speeds = { "native, one core": [], "native, two cores": [], browser: [] };

const server = await serve();
const browser = await launch();
const { page } = await openPage(browser, server.origin, { serviceWorkers: "block" });
page.setDefaultTimeout(60_000);
await page.goto("/embed.html");
await page.evaluate(async () => {
  const { load, INSTRUCTION } = await import("/package/index.js");
  const model = await load({ device: "cpu" });
  // The demo model does not know the instruction and goes on until the limit.
  window.speed = async (question, max_new_tokens) => {
    const request = { question: `${question} ${INSTRUCTION}`, image: "/shapes.png", max_new_tokens };
    return (await model.generate(request).result).timing.tokens_per_s;
  };
});
const native = async (cores) => {
  // A model that is named is given the instruction.
  const model = join(DIST, "package/model");
  const printed = await cppoOn(
    cores, "infer", "--model", model, "--device", "cpu", "--temperature", "0", "--image", PICTURE, QUESTION,
    "--max-new-tokens", String(TOKENS), "--json",
  );
  return JSON.parse(printed).timing.tokens_per_s;
};
for (let round = 0; round < rounds; round++) {
  speeds["native, one core"].push(await native("0"));
  speeds["native, two cores"].push(await native("0,1"));
  speeds.browser.push(await page.evaluate(([question, tokens]) => window.speed(question, tokens), [QUESTION, TOKENS]));
}
for (const [where, values] of Object.entries(speeds)) {
  values.sort((a, b) => a - b);
  const [median, best] = [values[values.length >> 1], values.at(-1)].map(Math.round);
  console.log(`${where}: median ${median}, best ${best} tokens/s of ${rounds} runs`);
}
await browser.close();
await server.close();
