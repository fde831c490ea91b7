/** Runs the engine on the calling thread: what the worker does inside, and tests without one. */

import type { Backend, Loaded, LoadRequest } from "./backend.js";
import type { Engine, EngineModule } from "./engine.js";
import { CppoError, throwIfAborted, toCppoError } from "./errors.js";
import { loadModel, type Surroundings } from "./loader.js";
import { openStore } from "./store.js";
import type {
  GenerateRequest, GymItem, ImageInfo, Passes, Perceived, PerceiveRequest, Perturbation, PerturbationKind,
  Progress, Response, SelftestResult, Token,
} from "./types.js";

export class LocalBackend implements Backend {
  private engine: Engine | undefined;
  private ended: CppoError | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  /** Rejects when the device is lost, which what is being computed may never notice. */
  private gone: Promise<never> = new Promise(() => {});

  /** @param surroundings network and store, the browser's unless given */
  constructor(private readonly surroundings?: Surroundings) {}

  load(request: LoadRequest, onProgress?: (progress: Progress) => void, signal?: AbortSignal): Promise<Loaded> {
    return this.inTurn(signal, async () => {
      this.engine?.unload();
      this.engine = undefined;
      onProgress?.({ phase: "engine", loaded: 0, total: 0, cached: 0, rate: 0 });
      const surroundings = this.surroundings ?? { fetch: fetch.bind(globalThis), store: await openStore() };
      const engine = await openEngine(request);
      this.watch(engine);
      throwIfAborted(signal);
      const receiver = {
        begin: engine.begin.bind(engine),
        shard: engine.addShard.bind(engine),
      };
      try {
        const loading = loadModel(request.model, receiver, surroundings, onProgress, signal);
        const { manifest, storeError } = await Promise.race([loading, this.gone]);
        const info = engine.finish();
        this.engine = engine;
        return { manifest, info, device: engine.device(), storeError };
      } catch (error) {
        if (!toCppoError(error).fatal) engine.unload();
        throw error;
      }
    });
  }

  describeImage(image: Uint8Array): Promise<ImageInfo> {
    return this.call((engine) => engine.describeImage(image));
  }

  generate(
    request: GenerateRequest,
    images: Uint8Array[],
    onToken: (token: Token) => void = () => {},
    signal?: AbortSignal,
  ): Promise<Response[]> {
    return this.call((engine) => engine.generate(request, images, onToken, signal), signal);
  }

  perceive(
    request: PerceiveRequest,
    images: Uint8Array[],
    onPass: (passes: Passes) => void = () => {},
    signal?: AbortSignal,
  ): Promise<Perceived> {
    const tell = (done: number, total: number) => onPass({ done, total });
    return this.call((engine) => engine.perceive(request, images, tell, signal), signal);
  }

  perturbations(): Promise<PerturbationKind[]> {
    return this.call((engine) => engine.perturbations());
  }

  perturb(kind: Perturbation, image: Uint8Array, seed: number): Promise<Uint8Array> {
    return this.call((engine) => engine.perturb(kind, image, seed));
  }

  gymItem(family: string, index: number): Promise<GymItem> {
    return this.call((engine) => engine.gymItem(family, index));
  }

  selftest(): Promise<SelftestResult> {
    return this.call((engine) => engine.selftest());
  }

  unload(): Promise<void> {
    return this.inTurn(undefined, async () => {
      this.engine?.unload();
      this.engine = undefined;
    });
  }

  terminate(reason: Error): void {
    this.ended ??= toCppoError(reason);
    this.engine = undefined;
  }

  private call<T>(task: (engine: Engine) => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.inTurn(signal, async () => {
      if (!this.engine) throw new CppoError("bad-request", "no model is loaded");
      return Promise.race([task(this.engine), this.gone]);
    });
  }

  private watch(engine: Engine): void {
    const lost = engine.lost?.();
    if (!lost) return;
    this.gone = lost.then((message) => {
      // Browsers tell it as a sentence; messages have no full stop.
      const error = new CppoError("device-lost", message.replace(/\.$/, "") || "the GPU was taken away");
      this.terminate(error);
      throw error;
    });
    this.gone.catch(() => {});
  }

  /** The engine does one thing at a time. */
  private inTurn<T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    const run = async () => {
      if (this.ended) throw this.ended;
      throwIfAborted(signal);
      try {
        return await task();
      } catch (error) {
        const failure = toCppoError(error);
        if (failure.fatal) this.terminate(failure);
        throw failure;
      }
    };
    const result = this.queue.then(run, run);
    this.queue = result.catch(() => {});
    return result;
  }
}

async function openEngine({ engineUrl, wasmUrl, device }: LoadRequest): Promise<Engine> {
  let module: EngineModule;
  try {
    module = (await import(/* @vite-ignore */ /* webpackIgnore: true */ engineUrl)) as EngineModule;
    await module.default({ module_or_path: wasmUrl });
  } catch (error) {
    if (toCppoError(error).code !== "internal") throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CppoError("network", `the engine could not be loaded from ${engineUrl}: ${reason}`, { cause: error });
  }
  return module.Engine.open(device);
}
