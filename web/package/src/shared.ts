/** One worker and one copy of a model for all elements that ask for the same. */

import { load, type LoadOptions } from "./index.js";
import type { Model } from "./model.js";
import type { Progress } from "./types.js";

interface Entry {
  model: Promise<Model>;
  users: number;
  watchers: Set<(progress: Progress) => void>;
  stop: AbortController;
}

const entries = new Map<string, Entry>();
const numbers = new WeakMap<object, number>();
let nextNumber = 0;

/** A share in a model. */
export interface Lease {
  model: Promise<Model>;
  /** Gives it back; the last one unloads the model, or stops its download. */
  release(): void;
}

export function acquire(
  options: Omit<LoadOptions, "onProgress" | "signal">,
  onProgress: (progress: Progress) => void,
): Lease {
  const key = keyOf(options);
  let entry = entries.get(key);
  if (!entry) {
    const watchers = new Set<(progress: Progress) => void>();
    const stop = new AbortController();
    const tell = (progress: Progress) => watchers.forEach((watcher) => watcher(progress));
    const model = load({ ...options, onProgress: tell, signal: stop.signal });
    entry = { model, users: 0, watchers, stop };
    entries.set(key, entry);
    // A failure is not kept, so that the next one may try again.
    model.catch(() => forget(key, entry!));
  }
  const held = entry;
  held.users++;
  held.watchers.add(onProgress);
  let released = false;
  const release = () => {
    if (released) return;
    released = true;
    held.watchers.delete(onProgress);
    if (--held.users > 0) return;
    forget(key, held);
    held.stop.abort();
    void held.model.then((model) => model.unload()).catch(() => {});
  };
  return { model: held.model, release };
}

function forget(key: string, entry: Entry): void {
  if (entries.get(key) === entry) entries.delete(key);
}

function keyOf({ model = "demo", ...rest }: Omit<LoadOptions, "onProgress" | "signal">): string {
  let name = String(model);
  if (Array.isArray(model)) {
    if (!numbers.has(model)) numbers.set(model, nextNumber++);
    name = `files ${numbers.get(model)}`;
  }
  return JSON.stringify([name, rest.device ?? "auto", ...Object.values(rest).map(String)]);
}
