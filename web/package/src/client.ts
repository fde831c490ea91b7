/** The page's side of the protocol: a backend whose work is done in a worker. */

import type { Backend, Loaded, LoadRequest } from "./backend.js";
import { CppoError, throwIfAborted, toCppoError } from "./errors.js";
import { fromPlainError, type Call, type FromWorker, type PlainError, type ToWorker } from "./protocol.js";
import type {
  GenerateRequest, GymItem, ImageInfo, Passes, Perceived, PerceiveRequest, Perturbation, PerturbationKind,
  Progress, Response, SelftestResult, Token,
} from "./types.js";

/** The part of a worker that is used. */
export interface Port {
  postMessage(message: ToWorker): void;
  terminate(): void;
  onmessage: ((event: MessageEvent<FromWorker>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
}

/** Who is told what happens during a call. */
interface Listeners {
  onProgress?: (progress: Progress) => void;
  onToken?: (token: Token) => void;
  onPass?: (passes: Passes) => void;
}

interface Pending extends Listeners {
  resolve(value: unknown): void;
  reject(error: CppoError): void;
}

interface CallOptions extends Listeners {
  signal?: AbortSignal;
}

type WithoutId<T> = T extends { id: number } ? Omit<T, "id"> : never;

/** A worker with the package's script, also where the script is on another host. */
export function startWorker(url: URL): Worker {
  if (url.origin === location.origin || url.protocol === "blob:") {
    return new Worker(url, { type: "module" });
  }
  // Workers must come from the page's own origin, what they import need not.
  const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  const address = URL.createObjectURL(script);
  return new Worker(address, { type: "module" });
}

export class WorkerBackend implements Backend {
  private readonly pending = new Map<number, Pending>();
  private nextId = 0;
  private ended: CppoError | undefined;

  constructor(private readonly port: Port) {
    port.onmessage = ({ data }) => this.receive(data);
    port.onerror = (event) => {
      const failure = event.message
        ? new CppoError("panic", `the engine crashed: ${event.message}`)
        : new CppoError("network", "the worker's script could not be loaded");
      this.terminate(failure);
    };
  }

  async load(request: LoadRequest, onProgress?: (progress: Progress) => void, signal?: AbortSignal): Promise<Loaded> {
    const value = await this.call({ method: "load", args: [request] }, { onProgress, signal });
    const loaded = value as Omit<Loaded, "storeError"> & { storeError?: PlainError };
    return { ...loaded, storeError: loaded.storeError && fromPlainError(loaded.storeError) };
  }

  generate(
    request: GenerateRequest,
    images: Uint8Array[],
    onToken?: (token: Token) => void,
    signal?: AbortSignal,
  ): Promise<Response[]> {
    return this.call({ method: "generate", args: [request, images] }, { onToken, signal });
  }

  perceive(
    request: PerceiveRequest,
    images: Uint8Array[],
    onPass?: (passes: Passes) => void,
    signal?: AbortSignal,
  ): Promise<Perceived> {
    return this.call({ method: "perceive", args: [request, images] }, { onPass, signal });
  }

  describeImage(image: Uint8Array): Promise<ImageInfo> {
    return this.call({ method: "describeImage", args: [image] });
  }

  perturbations(): Promise<PerturbationKind[]> {
    return this.call({ method: "perturbations", args: [] });
  }

  perturb(kind: Perturbation, image: Uint8Array, seed: number): Promise<Uint8Array> {
    return this.call({ method: "perturb", args: [kind, image, seed] });
  }

  gymItem(family: string, index: number): Promise<GymItem> {
    return this.call({ method: "gymItem", args: [family, index] });
  }

  selftest(): Promise<SelftestResult> {
    return this.call({ method: "selftest", args: [] });
  }

  unload(): Promise<void> {
    return this.call({ method: "unload", args: [] });
  }

  terminate(reason: Error): void {
    if (this.ended) return;
    this.ended = toCppoError(reason);
    this.port.terminate();
    for (const { reject } of this.pending.values()) reject(this.ended);
    this.pending.clear();
  }

  private call<T>(call: WithoutId<Call>, { signal, ...listeners }: CallOptions = {}): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      if (this.ended) throw this.ended;
      throwIfAborted(signal);
      const id = this.nextId++;
      try {
        this.port.postMessage({ id, ...call } as Call);
      } catch (error) {
        throw new CppoError("bad-request", `the request is not plain data: ${toCppoError(error).message}`);
      }
      const abort = () => this.port.postMessage({ id, method: "abort" });
      const done = () => signal?.removeEventListener("abort", abort);
      signal?.addEventListener("abort", abort, { once: true });
      this.pending.set(id, {
        resolve: (value) => (done(), resolve(value)),
        reject: (error) => (done(), reject(error)),
        ...listeners,
      });
    }) as Promise<T>;
  }

  private receive(message: FromWorker): void {
    const pending = this.pending.get(message.id);
    if (!pending) return;
    switch (message.type) {
      case "progress":
        return pending.onProgress?.(message.progress);
      case "token":
        return pending.onToken?.(message.token);
      case "pass":
        return pending.onPass?.(message.passes);
      case "done":
        this.pending.delete(message.id);
        return pending.resolve(message.value);
      case "failed": {
        this.pending.delete(message.id);
        const error = fromPlainError(message.error);
        pending.reject(error);
        // What a crash or a lost device leaves behind cannot be trusted.
        if (error.fatal) this.terminate(error);
      }
    }
  }
}
