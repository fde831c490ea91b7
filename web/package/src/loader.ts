/** The way of a model from its files to the engine: some shards at a time, each dropped once handed over. */

import { damaged, download, hasDigest, storedBytes, unreachable, type Context } from "./download.js";
import { CppoError, throwIfAborted } from "./errors.js";
import { parseManifest, totalBytes } from "./manifest.js";
import { Meter } from "./progress.js";
import type { Store } from "./store.js";
import type { Manifest, ManifestFile, Progress } from "./types.js";

/** Files under way at once; so many shards are in memory at most. */
const PARALLEL = 3;

/** What loading needs from its surroundings. */
export interface Surroundings {
  fetch: typeof fetch;
  store: Store;
  now?: () => number;
  pause?: (seconds: number) => Promise<void>;
}

/** Takes the parts of a model. */
export interface Receiver {
  /** Config, tokenizer and template by file name. */
  begin(manifest: Manifest, files: Record<string, Uint8Array>): void | Promise<void>;
  shard(name: string, bytes: Uint8Array): Promise<void>;
}

/** Reads the manifest: from the network, or without one from the store. */
export async function readManifest(
  model: string | File[],
  { fetch, store }: Surroundings,
  signal?: AbortSignal,
): Promise<Manifest> {
  if (typeof model !== "string") {
    return parseManifest(await findFile(model, "manifest.json").text());
  }
  const url = manifestUrl(model);
  const key = `manifest/${encodeURIComponent(url)}`;
  let text: string;
  try {
    const response = await fetch(url, { signal, cache: "no-cache" });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    text = await response.text();
  } catch (error) {
    throwIfAborted(signal);
    const kept = await store.read(key).catch(() => undefined);
    if (!kept) throw unreachable(url, error);
    return parseManifest(new TextDecoder().decode(kept));
  }
  const manifest = parseManifest(text);
  // Without room the model loads all the same; the shards say so.
  await store.write(key, new TextEncoder().encode(text)).catch(() => {});
  return manifest;
}

/** Loads all files of a model into a receiver. */
export async function loadModel(
  model: string | File[],
  receiver: Receiver,
  surroundings: Surroundings,
  onProgress: (progress: Progress) => void = () => {},
  signal?: AbortSignal,
): Promise<{ manifest: Manifest; storeError?: CppoError }> {
  const manifest = await readManifest(model, surroundings, signal);
  const meter = new Meter(totalBytes(manifest), surroundings.now);
  let storeError: CppoError | undefined;
  const stop = new AbortController();
  const context: Context = {
    ...surroundings,
    meter,
    signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
    onBytes: () => onProgress(meter.progress("weights")),
    onStoreError: (error) => (storeError = error),
  };
  const read = (file: ManifestFile) => readFile(model, file, context);
  const files: Record<string, Uint8Array> = {};
  await inParallel(manifest.files, stop, async (file) => void (files[file.name] = await read(file)));
  await receiver.begin(manifest, files);
  // The engine takes one shard after another; a slot is free again when its shard is with the engine.
  let turn = Promise.resolve();
  await inParallel(manifest.shards, stop, async (file) => {
    const bytes = await read(file);
    turn = turn.then(() => {
      throwIfAborted(context.signal);
      return receiver.shard(file.name, bytes);
    });
    await turn;
  });
  onProgress(meter.progress("ready"));
  return { manifest, storeError };
}

/** Counts the bytes of a model that need no network. */
export async function cachedBytes(manifest: Manifest, store: Store): Promise<number> {
  const files = [...manifest.files, ...manifest.shards];
  const counts = await Promise.all(files.map((file) => storedBytes(file, store).catch(() => 0)));
  return counts.reduce((sum, bytes) => sum + bytes, 0);
}

async function readFile(model: string | File[], file: ManifestFile, context: Context): Promise<Uint8Array> {
  if (typeof model === "string") {
    return download(new URL(file.name, manifestUrl(model)).href, file, context);
  }
  const given = findFile(model, file.name);
  if (given.size !== file.bytes) {
    throw new CppoError("integrity", `${file.name} has ${given.size} bytes, the manifest says ${file.bytes}`);
  }
  throwIfAborted(context.signal);
  const bytes = new Uint8Array(await given.arrayBuffer());
  if (!(await hasDigest(bytes, file.sha256))) {
    throw damaged(file);
  }
  context.meter.cache(bytes.length);
  context.onBytes();
  return bytes;
}

function findFile(files: File[], name: string): File {
  const found = files.find((file) => file.name === name);
  if (!found) throw new CppoError("bad-model", `${name} is not among the ${files.length} files given`);
  return found;
}

/** The manifest's address, given it or its folder. */
function manifestUrl(model: string): string {
  const url = new URL(model);
  if (!url.pathname.endsWith(".json")) {
    url.pathname = `${url.pathname.replace(/\/$/, "")}/manifest.json`;
  }
  return url.href;
}

/** Runs a task for each item, a few at once; the first failure stops the others and is thrown when they have ended. */
async function inParallel<T>(
  items: T[],
  stop: AbortController,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  let failure: { error: unknown } | undefined;
  const lane = async () => {
    for (const item of rest) {
      if (failure) return;
      try {
        await task(item);
      } catch (error) {
        failure ??= { error };
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
  if (failure) throw failure.error;
}
