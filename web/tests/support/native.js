// The native program's answers, which the browser's are compared with.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const tests = dirname(dirname(fileURLToPath(import.meta.url)));
const root = join(tests, "../..");
/** The program that `web/build` built; CPPO names another. */
const CPPO = process.env.CPPO ?? join(resolve(root, process.env.CARGO_TARGET_DIR ?? "target"), "release/cppo");

export const QUESTION = "How many purple shapes?";
/** The picture that it is about. */
export const PICTURE = join(root, "docs/shapes.png");
/** Largest difference of log-probabilities from the native program's, by device. */
export const TOLERANCE = { cpu: 1e-3, webgpu: 1e-2 };

/** What the program printed once, see `engine.test.js`. */
export async function printed(name) {
  return JSON.parse(await readFile(join(tests, `engine/native-${name}.json`), "utf8"));
}

/** What the program prints now. */
export function cppo(...args) {
  return run(CPPO, args);
}

/** What it prints on these cores, named as `taskset` does. */
export function cppoOn(cores, ...args) {
  return run("taskset", ["--cpu-list", cores, CPPO, ...args]);
}

async function run(program, args) {
  if (!existsSync(CPPO)) throw new Error(`no native program at ${CPPO}: run web/build, or name it with CPPO`);
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 2 ** 26 });
  return stdout;
}

export function compareTokens(found, expected, fields, tolerance) {
  assert.deepEqual(found.map(({ id, text }) => [id, text]), expected.map(({ id, text }) => [id, text]));
  for (const [place, token] of expected.entries()) {
    for (const field of fields) {
      const difference = Math.abs(found[place][field] - token[field]);
      assert.ok(difference <= tolerance, `${field} of token ${place} (${token.text}) differs by ${difference}`);
    }
  }
}
