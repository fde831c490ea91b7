/** What a model needs and what this browser has, before anything large is downloaded. */

import { locate } from "./locate.js";
import { cachedBytes, readManifest } from "./loader.js";
import { problemsOf, type AdapterInfo, type Probe } from "./problems.js";
import { openStore } from "./store.js";
import type { ModelSource } from "./types.js";

/** Reads the manifest only. */
export async function probe(model: ModelSource, signal?: AbortSignal): Promise<Probe> {
  const store = await openStore();
  const manifest = await readManifest(locate(model), { fetch: fetch.bind(globalThis), store }, signal);
  const [adapter, cached, estimate] = await Promise.all([
    findAdapter(),
    cachedBytes(manifest, store),
    navigator.storage?.estimate?.().catch(() => undefined),
  ]);
  const { requirements } = manifest;
  const memory = (navigator as { deviceMemory?: number }).deviceMemory;
  const storage = estimate?.quota === undefined ? undefined : estimate.quota - (estimate.usage ?? 0);
  const result: Probe = {
    manifest,
    needs: {
      downloadBytes: requirements.download_bytes,
      deviceBytes: requirements.device_bytes,
      largestBufferBytes: requirements.largest_buffer_bytes,
    },
    has: {
      cachedBytes: cached,
      webgpu: adapter !== undefined,
      adapter,
      storageBytes: storage,
      memoryBytes: memory === undefined ? undefined : memory * 2 ** 30,
      secureContext: globalThis.isSecureContext,
    },
    device: adapter && !adapter.software ? "webgpu" : "cpu",
    problems: [],
  };
  result.problems = problemsOf(result);
  return result;
}

async function findAdapter(): Promise<AdapterInfo | undefined> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return undefined;
  const { info, limits } = adapter;
  const old = adapter as { isFallbackAdapter?: boolean };
  return {
    description: info.description || [info.vendor, info.architecture].filter(Boolean).join(" "),
    software: info.isFallbackAdapter ?? old.isFallbackAdapter ?? false,
    f16: adapter.features.has("shader-f16"),
    maxBufferBytes: Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize),
  };
}
