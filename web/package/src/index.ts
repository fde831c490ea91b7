/** Vision-language models in the browser: questions about pictures, and which words come from the picture. */

import type { Backend } from "./backend.js";
import { startWorker, WorkerBackend } from "./client.js";
import type { Locations } from "./engine.js";
import { LocalBackend } from "./local.js";
import { ENGINE_URL, locate, WASM_URL } from "./locate.js";
import { loadWith, Model } from "./model.js";
import type { DeviceChoice, ModelSource, Progress } from "./types.js";

export interface LoadOptions extends Locations {
  /** The demo model unless given. */
  model?: ModelSource;
  device?: DeviceChoice;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** Runs the engine on the calling thread, which blocks it; for tests and for callers that are workers themselves. */
  thread?: "worker" | "caller";
}

/** Loads a model, from the network the first time and from this browser's cache afterwards. */
export async function load(options: LoadOptions = {}): Promise<Model> {
  const { model = "demo", device = "auto", engineUrl, wasmUrl, workerUrl, onProgress, signal } = options;
  const absolute = (url: string | URL) => new URL(url, globalThis.document?.baseURI).href;
  const request = {
    model: locate(model),
    device,
    engineUrl: absolute(engineUrl ?? ENGINE_URL),
    wasmUrl: absolute(wasmUrl ?? WASM_URL),
  };
  const start = (): Backend => {
    if (options.thread === "caller") return new LocalBackend();
    return new WorkerBackend(
      workerUrl
        ? startWorker(new URL(absolute(workerUrl)))
        : startWorker(new URL("./worker.js", import.meta.url)),
    );
  };
  const backend = start();
  const loaded = await loadWith(backend, request, onProgress, signal);
  return new Model(start, request, { backend, loaded });
}

/** The instruction of CPPO's training, which makes a general model think first and box its answer. */
export const INSTRUCTION =
  "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. " +
  "The reasoning process MUST BE enclosed within <think> </think> tags. " +
  "The final answer MUST BE put in \\boxed{}.";

export * from "./types.js";
export type { Locations } from "./engine.js";
export type * from "./chat.js";
export { CppoError, type ErrorCode } from "./errors.js";
export { Generation } from "./generation.js";
export { LostEvent, Model } from "./model.js";
export type { GenerateOptions, PerceiveOptions, RestartOptions, Subject } from "./model.js";
export type { AdapterInfo, Probe } from "./problems.js";
export { probe } from "./probe.js";
export { clearCache } from "./store.js";
