// Stands in for the WebAssembly engine in component tests: same interface, fixed answers, failures on request.

const settings = {
  /** Milliseconds per token. */
  pace: 5,
  /** Thrown by a method: {method, code, at} with `at` tokens before it; code "trap" throws as WebAssembly does. */
  fail: undefined,
  backend: "cpu",
  /** The response; spaces belong to the word after them. */
  response: "<think> top left blue triangle; bottom left red ring. </think> \\boxed{1}",
};

/** Changes what the engine does; called in the module that the test server makes of this file. */
export function configure(changes) {
  Object.assign(settings, changes);
}

let shapes;

export default async function init({ module_or_path }) {
  if (!module_or_path) throw new Error("no module given");
  shapes = new Uint8Array(await (await fetch(new URL("/shapes.png", self.location.origin))).arrayBuffer());
}

const SEEN = /^\s*(top|left|bottom|blue|red|triangle|ring|1)$/;
const pause = () => new Promise((resolve) => setTimeout(resolve, settings.pace));

export class Engine {
  #manifest;
  #shards = new Set();
  #busy = false;
  #ready = false;

  static async open(device) {
    fail("open", 0);
    if (device === "webgpu" && settings.backend !== "webgpu") throw error("no-adapter", "no WebGPU adapter");
    return new Engine();
  }

  device() {
    return { backend: settings.backend, adapter: "fake adapter", f16: false, maxBufferBytes: 2 ** 27 };
  }

  begin(manifest, files) {
    for (const { name } of manifest.files) {
      if (!(files[name] instanceof Uint8Array)) throw error("bad-model", `${name} is missing`);
    }
    this.#manifest = manifest;
  }

  async addShard(name, bytes) {
    if (this.#busy) throw error("panic", "two shards at once");
    this.#busy = true;
    await pause();
    fail("addShard", 0);
    if (!(bytes instanceof Uint8Array)) throw error("bad-model", `${name} is no bytes`);
    this.#shards.add(name);
    this.#busy = false;
  }

  finish() {
    const missing = this.#manifest.shards.filter(({ name }) => !this.#shards.has(name));
    if (missing.length) throw error("bad-model", `${missing[0].name} is missing`);
    this.#ready = true;
    return { layers: 2 };
  }

  describeImage(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (bytes.length < 24 || view.getUint32(0) !== 0x89504e47) throw error("bad-image", "the picture is no PNG");
    const [width, height] = [view.getUint32(16), view.getUint32(20)];
    return { width, height, processedWidth: 84, processedHeight: 84, tokens: 9 };
  }

  async generate(request, images, onToken, signal) {
    return this.#alone(async () => {
      this.#check(request, images);
      const words = wordsOf(settings.response).slice(0, request.max_new_tokens ?? 512);
      const tokens = [];
      let finish = words.length < wordsOf(settings.response).length ? "length" : "stop";
      for (const [place, text] of words.entries()) {
        await pause();
        if (signal?.aborted) {
          finish = "cancelled";
          break;
        }
        fail("generate", place);
        const token = { id: 100 + place, text, logprob: -0.1, entropy: 0.2 };
        tokens.push(token);
        onToken({ index: 0, ...token });
      }
      const text = tokens.map((token) => token.text).join("");
      return [{
        index: 0,
        ...parts(text),
        finish_reason: finish,
        tokens,
        usage: { prompt_tokens: 20, image_tokens: 9 * images.length, completion_tokens: tokens.length },
        timing: { load_s: 0, first_token_s: 0.01, total_s: 0.1, tokens_per_s: 42 },
      }];
    });
  }

  async perceive(request, images, onPass, signal) {
    return this.#alone(async () => {
      this.#check(request, images);
      const total = 1 + 2 * (request.draws ?? 4);
      for (let done = 0; done < total; done++) {
        onPass?.(done, total);
        await pause();
        fail("perceive", done);
        if (signal?.aborted) throw error("aborted", "stopped");
      }
      const { response_ids: ids, response = settings.response } = request;
      const blank = request.cpl?.removing?.[0]?.kind === "blank";
      const tokens = wordsOf(response).slice(0, ids?.length).map((text, place) => {
        const shift = SEEN.test(text) ? (blank ? 1.5 : 0.5 + place / 100) : place % 3 ? 0.01 : -0.05;
        const entropy = 0.1;
        const removed = entropy + shift;
        return {
          id: 100 + place, text, logprob: -0.1, logprob_preserved: -0.12, logprob_removed: -0.1 - Math.max(shift, 0),
          entropy, entropy_preserved: 0.11, entropy_removed: removed, shift,
          score: Math.max(shift, 0) / (removed + 1e-6), perception: false,
          top_logprobs: [{ id: 100 + place, text, logprob: -0.1 }, { id: 7, text: " other", logprob: -2.4 }],
          top_logprobs_removed: [{ id: 7, text: " other", logprob: -0.9 }, { id: 100 + place, text, logprob: -1.1 }],
        };
      });
      const rising = tokens.filter(({ shift }) => shift > 0).sort((a, b) => b.score - a.score || a.id - b.id);
      rising.slice(0, Math.max(1, Math.floor(rising.length / 2))).forEach((token) => (token.perception = true));
      return { ...parts(response), tokens, images: { removed: [shapes], preserved: [shapes] } };
    });
  }

  perturbations() {
    return [
      { name: "identity", removes: false }, { name: "blank", removes: true },
      { name: "noise_rectangles", removes: true }, { name: "patch_mask", removes: true },
    ];
  }

  perturb() {
    return shapes;
  }

  gymItem(family, index) {
    return { question: `How many red shapes? (${family} ${index})`, answer: "1", image: shapes };
  }

  async selftest() {
    await pause();
    return { tokens: 12, agree: 12, maxLogprobDifference: 3e-6, passed: true };
  }

  unload() {
    this.#ready = false;
  }

  /** As a Rust object that is borrowed twice. */
  async #alone(task) {
    if (!this.#ready) throw error("bad-request", "no model");
    if (this.#busy) throw error("panic", "recursive use of an object");
    this.#busy = true;
    try {
      return await task();
    } finally {
      this.#busy = false;
    }
  }

  #check({ messages }, images) {
    const parts = messages.flatMap(({ content }) => (typeof content === "string" ? [] : content));
    const wanted = parts.filter(({ type }) => type === "image").length;
    if (wanted !== images.length) throw error("bad-request", `${wanted} image parts, ${images.length} images`);
  }
}

function wordsOf(text) {
  return text.match(/\s*[^\s;.{}]+[{]?|\s*[;.{}]/g) ?? [];
}

function parts(text) {
  return {
    text,
    think: /<think>(.*?)(<\/think>|$)/s.exec(text)?.[1].trim() ?? null,
    answer: /\\boxed\{([^}]*)\}/.exec(text)?.[1] ?? null,
  };
}

function fail(method, at) {
  const { fail } = settings;
  if (fail?.method !== method || (fail.at ?? 0) !== at) return;
  if (fail.code === "trap") throw new WebAssembly.RuntimeError("unreachable");
  throw error(fail.code, `made to fail in ${method}`);
}

function error(code, message) {
  return Object.assign(new Error(message), { name: "CppoError", code });
}
