/** The worker's side of the protocol, apart from the worker so that it can be tested without one. */

import type { Backend } from "./backend.js";
import { toCppoError } from "./errors.js";
import { plainError, type Call, type FromWorker, type ToWorker } from "./protocol.js";

/** Answers messages with a backend. */
export function serve(backend: Backend, post: (message: FromWorker) => void): (message: ToWorker) => Promise<void> {
  const underWay = new Map<number, AbortController>();
  return async (message) => {
    const { id } = message;
    if (message.method === "abort") {
      underWay.get(id)?.abort();
      return;
    }
    const controller = new AbortController();
    underWay.set(id, controller);
    try {
      post({ id, type: "done", value: await dispatch(backend, message, controller.signal, post) });
    } catch (error) {
      post({ id, type: "failed", error: plainError(toCppoError(error)) });
    } finally {
      underWay.delete(id);
    }
  };
}

async function dispatch(
  backend: Backend,
  call: Call,
  signal: AbortSignal,
  post: (message: FromWorker) => void,
): Promise<unknown> {
  const { id } = call;
  switch (call.method) {
    case "load": {
      const loaded = await backend.load(
        ...call.args, (progress) => post({ id, type: "progress", progress }), signal,
      );
      return { ...loaded, storeError: loaded.storeError && plainError(loaded.storeError) };
    }
    case "generate":
      return backend.generate(...call.args, (token) => post({ id, type: "token", token }), signal);
    case "perceive":
      return backend.perceive(...call.args, (passes) => post({ id, type: "pass", passes }), signal);
    case "describeImage":
      return backend.describeImage(...call.args);
    case "perturb":
      return backend.perturb(...call.args);
    case "gymItem":
      return backend.gymItem(...call.args);
    case "perturbations":
    case "selftest":
    case "unload":
      return backend[call.method]();
  }
}
