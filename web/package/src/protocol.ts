/** Messages between the page and its worker. */

import type { Backend, LoadRequest } from "./backend.js";
import { CppoError, type ErrorCode } from "./errors.js";
import type { Passes, Progress, Token } from "./types.js";

/** Methods with plain arguments and results. */
export type PlainMethod =
  "describeImage" | "perturbations" | "perturb" | "gymItem" | "selftest" | "unload";

/** A call to the worker; `id` counts up. */
export type Call =
  | { id: number; method: "load"; args: [LoadRequest] }
  | { id: number; method: "generate"; args: [Parameters<Backend["generate"]>[0], Uint8Array[]] }
  | { id: number; method: "perceive"; args: [Parameters<Backend["perceive"]>[0], Uint8Array[]] }
  | { [M in PlainMethod]: { id: number; method: M; args: Parameters<Backend[M]> } }[PlainMethod];

export type ToWorker = Call | { id: number; method: "abort" };

export type FromWorker =
  | { id: number; type: "progress"; progress: Progress }
  | { id: number; type: "token"; token: Token }
  | { id: number; type: "pass"; passes: Passes }
  | { id: number; type: "done"; value: unknown }
  | { id: number; type: "failed"; error: PlainError };

/** An error as plain data, since browsers copy only its message. */
export interface PlainError {
  code: ErrorCode;
  message: string;
}

export function plainError(error: CppoError): PlainError {
  return { code: error.code, message: error.message };
}

export function fromPlainError({ code, message }: PlainError): CppoError {
  return new CppoError(code, message);
}
