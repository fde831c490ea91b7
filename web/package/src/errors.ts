/** What can go wrong, as one class with a code to branch on and a sentence to show. */

export type ErrorCode =
  | "no-adapter"
  | "device-lost"
  | "out-of-memory"
  | "bad-model"
  | "bad-request"
  | "bad-image"
  | "aborted"
  | "panic"
  | "network"
  | "integrity"
  | "quota"
  | "offline"
  | "internal";

/** What a person can do about each. */
const HINTS: Record<ErrorCode, string> = {
  "no-adapter":
    "Use a browser with WebGPU (Chrome or Edge 113, Safari 26, Firefox 141 or newer), switch on hardware acceleration, or choose the device cpu.",
  "device-lost": "Load the model again; the weights come from this browser's cache.",
  "out-of-memory": "Close other tabs, use a smaller picture, or choose a smaller model.",
  "bad-model": "Export the model again with `cppo export`, or choose another.",
  "bad-request": "Change the request.",
  "bad-image": "Use a PNG, JPEG, WebP, GIF or BMP picture.",
  aborted: "Ask again.",
  panic: "Restart the engine. If it happens again, please report it with the message.",
  network: "Check the address and the connection, then try again; what has arrived is kept.",
  integrity: "Try again. If it stays, the files on the server are damaged or do not belong together.",
  quota: "Free space by clearing the cache, or allow this site more storage.",
  offline: "Connect to the network once; afterwards the model loads without it.",
  internal: "Please report this with the message.",
};

/** An error of the engine, the loader or this package. */
export class CppoError extends Error {
  override readonly name = "CppoError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** What to do about it. */
  get hint(): string {
    return HINTS[this.code];
  }

  /** Whether the engine is gone, so that the model must be restarted. */
  get fatal(): boolean {
    return this.code === "panic" || this.code === "device-lost";
  }
}

/** Gives any thrown value its code. */
export function toCppoError(error: unknown): CppoError {
  if (error instanceof CppoError) return error;
  const { name, message, code } = describe(error);
  if (name === "CppoError" && isCode(code)) return new CppoError(code, message, { cause: error });
  switch (name) {
    case "AbortError":
      return new CppoError("aborted", "stopped on request", { cause: error });
    case "QuotaExceededError":
      return new CppoError("quota", "this browser has no room left for the model", { cause: error });
    case "RuntimeError": // WebAssembly's, which leaves the instance in an unknown state.
      return new CppoError("panic", `the engine crashed: ${message}`, { cause: error });
    case "RangeError":
      return new CppoError("out-of-memory", message, { cause: error });
    default:
      return new CppoError("internal", message, { cause: error });
  }
}

/** Throws if a signal is aborted. */
export function throwIfAborted(signal?: AbortSignal): void {
  if (signal?.aborted) throw new CppoError("aborted", "stopped on request");
}

function describe(error: unknown): { name: string; message: string; code: unknown } {
  if (typeof error !== "object" || error === null) {
    return { name: "", message: String(error), code: undefined };
  }
  const { name, message, code } = error as { name?: unknown; message?: unknown; code?: unknown };
  return { name: String(name ?? ""), message: String(message ?? error), code };
}

function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(HINTS, code);
}
