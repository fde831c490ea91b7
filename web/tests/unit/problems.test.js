import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "../support/source.js";

const { problemsOf } = await source("problems");

const needs = { downloadBytes: 2e9, deviceBytes: 3e9, largestBufferBytes: 1.2e8 };
const adapter = { description: "", software: false, f16: true, maxBufferBytes: 1e9 };
const has = { cachedBytes: 0, webgpu: true, adapter, storageBytes: 1e10, memoryBytes: 8e9, secureContext: true };
const fine = { needs, has, device: "webgpu" };

test("what is missing is said, and nothing else", () => {
  const cases = [
    [fine, []],
    [{ ...fine, has: { ...has, secureContext: false } }, [/not served over HTTPS/]],
    [{ ...fine, device: "cpu", has: { ...has, adapter: undefined } }, [/no WebGPU adapter/]],
    [{ ...fine, device: "cpu", has: { ...has, adapter: { ...adapter, software: true } } }, [/emulated in software/]],
    [{ ...fine, has: { ...has, adapter: { ...adapter, maxBufferBytes: 1e8 } } }, [/buffer larger/]],
    [{ ...fine, has: { ...has, memoryBytes: 2e9 } }, [/more memory/]],
    [{ ...fine, has: { ...has, storageBytes: 1e9 } }, [/too little room/]],
    [{ ...fine, has: { ...has, storageBytes: 1e9, cachedBytes: 1.5e9 } }, []],
    [{ ...fine, has: { ...has, storageBytes: undefined, memoryBytes: undefined } }, []],
  ];
  for (const [given, expected] of cases) {
    const found = problemsOf(given);
    assert.equal(found.length, expected.length, found.join(" "));
    expected.forEach((pattern, place) => assert.match(found[place], pattern));
  }
});
