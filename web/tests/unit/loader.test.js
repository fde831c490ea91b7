import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeModel } from "../support/serve.js";
import { source } from "../support/source.js";

const { loadModel, readManifest, cachedBytes, parseManifest, SEGMENT_BYTES } = await source("loader", "manifest", "download");

const BASE = "https://models.test/demo/";

/** A store in memory; `refuse` makes writes fail as a full disk does. */
function memoryStore() {
  const entries = new Map();
  return {
    entries,
    refuse: false,
    has: async (key) => entries.has(key),
    read: async (key) => entries.get(key),
    async write(key, bytes) {
      if (this.refuse) throw new DOMException("full", "QuotaExceededError");
      entries.set(key, bytes.slice());
    },
    delete: async (key) => void entries.delete(key),
  };
}

/** A network that serves files and can be told to misbehave per file. */
function network(files, faults = {}) {
  const log = [];
  const state = { log, open: 0, mostOpen: 0, faults };
  state.fetch = async (url, { headers = {}, signal } = {}) => {
    const name = url.slice(BASE.length);
    log.push(headers.Range ? `${name} ${headers.Range}` : name);
    signal?.throwIfAborted();
    const fault = state.faults[name]?.shift();
    if (fault?.status) return new Response("", { status: fault.status });
    if (fault?.throws) throw new TypeError("network changed");
    if (!files[name]) return new Response("", { status: 404 });
    let bytes = new Uint8Array(fault?.instead ?? files[name]);
    const range = fault?.ignoreRange ? null : /^bytes=(\d+)-$/.exec(headers.Range ?? "");
    if (range) bytes = bytes.subarray(Number(range[1]));
    state.mostOpen = Math.max(state.mostOpen, ++state.open);
    return new Response(stream(bytes, fault ?? {}, () => state.open--, signal), { status: range ? 206 : 200 });
  };
  return state;
}

function stream(bytes, { breaksAt, hangs }, onEnd, signal) {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => (hangs ? signal.addEventListener("abort", resolve) : setTimeout(resolve)));
      if (signal?.aborted) return onEnd(), controller.error(signal.reason);
      if (breaksAt !== undefined && at >= breaksAt) return onEnd(), controller.error(new TypeError("reset"));
      if (at >= bytes.length) return onEnd(), controller.close();
      const end = Math.min(at + 2 ** 20, breaksAt ?? bytes.length, bytes.length);
      controller.enqueue(bytes.slice(at, end));
      at = end;
    },
  }, { highWaterMark: 0 });
}

function receiver() {
  const got = { files: {}, shards: new Map(), busy: false };
  return Object.assign(got, {
    begin: (manifest, files) => Object.assign(got.files, files),
    async shard(name, bytes) {
      assert.equal(got.busy, false, "one shard at a time");
      got.busy = true;
      await new Promise((resolve) => setTimeout(resolve, 2));
      got.shards.set(name, bytes);
      got.busy = false;
    },
  });
}

async function loadFrom(files, { faults, store = memoryStore(), signal, onProgress, fetch } = {}) {
  const net = network(files, faults);
  const into = receiver();
  const surroundings = { fetch: fetch ?? net.fetch, store, pause: async () => {} };
  const result = await loadModel(BASE, into, surroundings, onProgress, signal);
  return { net, into, store, ...result };
}

const shardNames = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

test("all files reach the receiver unchanged, three at once", async () => {
  const files = fakeModel({ shards: 7, shardBytes: 3 * 2 ** 20 });
  const { into, net } = await loadFrom(files);
  assert.deepEqual(Object.keys(into.files).sort(), ["config.json", "tokenizer.json"]);
  assert.equal(into.shards.size, 7);
  for (const [name, bytes] of into.shards) assert.ok(files[name].equals(bytes), name);
  assert.equal(net.mostOpen, 3);
});

test("the second time nothing comes from the network, not even the manifest", async () => {
  const files = fakeModel({ shardBytes: SEGMENT_BYTES + 5 });
  const { store, manifest } = await loadFrom(files);
  assert.equal(await cachedBytes(manifest, store), 2 * (SEGMENT_BYTES + 5) + 4);
  const offline = async () => {
    throw new TypeError("offline");
  };
  const seen = [];
  const { into } = await loadFrom(files, { store, fetch: offline, onProgress: (progress) => seen.push(progress) });
  assert.equal(into.shards.size, 2);
  const last = seen.at(-1);
  assert.deepEqual([last.phase, last.loaded, last.cached, last.rate], ["ready", last.total, last.total, 0]);
});

test("a broken connection goes on where it stopped", async () => {
  const files = fakeModel({ shardBytes: 3 * 2 ** 20 });
  const faults = { [shardNames[0]]: [{ breaksAt: 2 ** 20 }, { throws: true }] };
  const { into, net } = await loadFrom(files, { faults });
  assert.ok(files[shardNames[0]].equals(into.shards.get(shardNames[0])));
  assert.ok(net.log.includes(`${shardNames[0]} bytes=${2 ** 20}-`), net.log.join("\n"));
});

test("a server that ignores ranges is read from the start again", async () => {
  const files = fakeModel({ shardBytes: 3 * 2 ** 20 });
  const faults = { [shardNames[0]]: [{ breaksAt: 2 ** 20 }, { ignoreRange: true }] };
  const seen = [];
  const { into } = await loadFrom(files, { faults, onProgress: (progress) => seen.push(progress.loaded) });
  assert.ok(files[shardNames[0]].equals(into.shards.get(shardNames[0])));
  assert.equal(Math.max(...seen), 6 * 2 ** 20 + 4, "nothing is counted twice");
});

test("an interrupted download keeps its whole segments for the next visit", async () => {
  const files = fakeModel({ shardBytes: SEGMENT_BYTES + 3 * 2 ** 20 });
  const store = memoryStore();
  const stop = new AbortController();
  const loading = loadFrom(files, {
    store,
    signal: stop.signal,
    onProgress: ({ loaded }) => loaded > 2 * SEGMENT_BYTES + 2 ** 20 && stop.abort(),
  });
  await assert.rejects(loading, { code: "aborted" });
  const { net } = await loadFrom(files, { store });
  assert.ok(net.log.includes(`${shardNames[0]} bytes=${SEGMENT_BYTES}-`), net.log.join("\n"));
});

test("a shard that is damaged on the server is refused after one more try", async () => {
  const files = fakeModel();
  const damaged = Buffer.from(files[shardNames[1]]);
  damaged[7] ^= 1;
  const { log, fetch } = network({ ...files, [shardNames[1]]: damaged });
  const store = memoryStore();
  await assert.rejects(loadFrom(files, { store, fetch }), { code: "integrity", message: /model-00002.*damaged/ });
  assert.equal(log.filter((name) => name === shardNames[1]).length, 2);
  const manifest = parseManifest(files["manifest.json"].toString());
  assert.equal(await cachedBytes(manifest, store), 100_004, "what is damaged is not kept");
});

test("damage in the store or on the way heals by another download", async () => {
  const files = fakeModel();
  const { store } = await loadFrom(files);
  for (const [key, bytes] of store.entries) if (!key.startsWith("manifest")) bytes[0] ^= 1;
  const { into } = await loadFrom(files, { store });
  for (const name of shardNames) assert.ok(files[name].equals(into.shards.get(name)), name);
});

test("a file of another size than the manifest's is refused", async () => {
  const files = fakeModel();
  const longer = Buffer.concat([files[shardNames[0]], Buffer.from("x")]);
  const { fetch } = network({ ...files, [shardNames[0]]: longer });
  await assert.rejects(loadFrom(files, { fetch }), { code: "integrity", message: /more than the manifest's 100000 bytes/ });
  const shorter = { [shardNames[0]]: Array.from({ length: 9 }, () => ({ instead: files[shardNames[0]].subarray(1) })) };
  await assert.rejects(loadFrom(files, { faults: shorter }), { code: "network", message: /broke off/ });
});

test("busy servers are asked again, missing files are not", async () => {
  const files = fakeModel();
  const busy = { [shardNames[0]]: [{ status: 503 }, { status: 429 }] };
  assert.equal((await loadFrom(files, { faults: busy })).into.shards.size, 2);
  const { log, fetch } = network({ ...files, [shardNames[0]]: undefined });
  await assert.rejects(loadFrom(files, { fetch }), { code: "network", message: /404/ });
  assert.equal(log.filter((name) => name === shardNames[0]).length, 1);
});

test("without room the model loads and says so", async () => {
  const store = memoryStore();
  store.refuse = true;
  const { into, storeError } = await loadFrom(fakeModel(), { store });
  assert.equal(into.shards.size, 2);
  assert.equal(storeError.code, "quota");
});

test("a receiver that refuses a shard ends the loading with its error, and the downloads", { timeout: 5000 }, async () => {
  const files = fakeModel({ shards: 7, shardBytes: 3 * 2 ** 20 });
  const hanging = [2, 3].map((shard) => [`model-0000${shard}-of-00007.safetensors`, [{ hangs: true }]]);
  const net = network(files, Object.fromEntries(hanging));
  const failing = { begin() {}, shard: async () => Promise.reject(Object.assign(new Error("no"), { name: "CppoError", code: "out-of-memory" })) };
  const surroundings = { fetch: net.fetch, store: memoryStore() };
  await assert.rejects(loadModel(BASE, failing, surroundings), { code: "out-of-memory" });
  assert.equal(net.open, 0, "no download is left running");
  const asked = net.log.filter((name) => name.endsWith(".safetensors"));
  assert.equal(asked.length, 3, "no other shard is fetched");
});

test("files of the user load without a network, and are checked as well", async () => {
  const files = fakeModel();
  const picked = Object.entries(files).map(([name, bytes]) => new File([bytes], name));
  const none = { fetch: async () => assert.fail("no network"), store: memoryStore() };
  const into = receiver();
  await loadModel(picked, into, none);
  assert.equal(into.shards.size, 2);
  const missing = picked.filter(({ name }) => name !== shardNames[0]);
  await assert.rejects(loadModel(missing, receiver(), none), { code: "bad-model", message: /model-00001.* is not among the 4 files/ });
  const damaged = picked.map((file) => (file.name === shardNames[0] ? new File([new Uint8Array(100_000)], file.name) : file));
  await assert.rejects(loadModel(damaged, receiver(), none), { code: "integrity" });
});

test("folder and manifest addresses mean the same", async () => {
  const files = fakeModel();
  for (const address of [BASE, BASE.slice(0, -1), `${BASE}manifest.json`]) {
    const surroundings = { fetch: network(files).fetch, store: memoryStore() };
    assert.equal((await readManifest(address, surroundings)).shards.length, 2, address);
  }
});

test("manifests that are not what they should be are refused in words", () => {
  const good = JSON.parse(fakeModel()["manifest.json"].toString());
  const shard = good.shards[0];
  const cases = [
    ["{", /is not JSON/],
    ["null", /is not an object/],
    [{ ...good, format: "cppo-web-2" }, /has the format "cppo-web-2"/],
    [{ ...good, files: undefined }, /has no list files/],
    [{ ...good, shards: [] }, /names no shards/],
    [{ ...good, shards: [shard, shard] }, /names .* twice/],
    [{ ...good, shards: [null] }, /shards\[0\] is not an object/],
    [{ ...good, shards: [{ ...shard, name: "../secret" }] }, /no plain file name/],
    [{ ...good, shards: [{ ...shard, name: "https://other.test/x" }] }, /no plain file name/],
    [{ ...good, shards: [{ ...shard, bytes: -1 }] }, /has bytes -1/],
    [{ ...good, shards: [{ ...shard, bytes: 1e15 }] }, /has bytes/],
    [{ ...good, shards: [{ ...shard, sha256: "12" }] }, /has no SHA-256/],
  ];
  for (const [manifest, message] of cases) {
    const text = typeof manifest === "string" ? manifest : JSON.stringify(manifest);
    assert.throws(() => parseManifest(text), { code: "bad-model", message });
  }
});
