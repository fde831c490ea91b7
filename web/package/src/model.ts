/** A loaded model. */

import type { Backend, Loaded, LoadRequest } from "./backend.js";
import { ChatCompletions } from "./chat.js";
import { CppoError, toCppoError } from "./errors.js";
import { Generation } from "./generation.js";
import { imageBytes } from "./images.js";
import type {
  DeviceInfo, GenerateRequest, GymItem, ImageInfo, ImageInput, Manifest, Message, ModelInfo,
  Passes, Perceived, PerceiveRequest, Perturbation, PerturbationKind, Progress, SelftestResult,
} from "./types.js";

/** What is asked about which pictures. */
export type Subject =
  | { messages: Message[]; images?: ImageInput[] }
  /** Pictures first, then the question, as one message of the user. */
  | { question: string; image?: ImageInput; images?: ImageInput[] };

export type GenerateOptions = Omit<GenerateRequest, "messages"> & Subject & { signal?: AbortSignal };
export type PerceiveOptions = Omit<PerceiveRequest, "messages"> & Subject & {
  /** Told how far it is, before each pass over the response. */
  onPass?: (passes: Passes) => void;
  signal?: AbortSignal;
};

/** What {@link Model.restart} takes. */
export interface RestartOptions {
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

/** Fired once when the engine crashed or its device was lost; `restart()` brings the model back. */
export class LostEvent extends Event {
  constructor(readonly error: CppoError) {
    super("lost");
  }
}

/** Answers questions about pictures. Calls wait for each other: the engine does one thing at a time. */
export class Model extends EventTarget {
  /** OpenAI's interface: `model.chat.completions.create({messages, stream})`. */
  readonly chat = { completions: new ChatCompletions(this) };
  private backend: Backend;
  private loaded: Loaded;
  private lost: CppoError | undefined;
  private restarting: Promise<void> | undefined;

  /** @internal */
  constructor(
    private readonly start: () => Backend,
    private readonly request: LoadRequest,
    opened: { backend: Backend; loaded: Loaded },
  ) {
    super();
    this.backend = opened.backend;
    this.loaded = opened.loaded;
  }

  get device(): DeviceInfo {
    return this.loaded.device;
  }

  get manifest(): Manifest {
    return this.loaded.manifest;
  }

  get info(): ModelInfo {
    return this.loaded.info;
  }

  /** Why the weights are not kept for the next time, if they are not. */
  get storeError(): CppoError | undefined {
    return this.loaded.storeError;
  }

  /** Why the engine is gone, if it is. */
  get failure(): CppoError | undefined {
    return this.lost;
  }

  /** Answers a question; greedy unless sampling options say otherwise. */
  generate(options: GenerateOptions): Generation {
    const { signal, ...request } = options;
    return new Generation(async (onToken, stop) => {
      const { images, ...plain } = await resolve(request, stop);
      return this.watch((backend) => backend.generate(plain, images, onToken, stop));
    }, signal);
  }

  /** Scores a response with and without the picture's information. */
  async perceive(options: PerceiveOptions): Promise<Perceived> {
    const { onPass, signal, ...request } = options;
    const { images, ...plain } = await resolve(request, signal);
    return this.watch((backend) => backend.perceive(plain, images, onPass, signal));
  }

  /** Size of a picture, and what the model makes of it. */
  async describeImage(image: ImageInput): Promise<ImageInfo> {
    const bytes = await imageBytes(image);
    return this.watch((backend) => backend.describeImage(bytes));
  }

  /** The kinds of perturbation that {@link perceive} may name. */
  perturbations(): Promise<PerturbationKind[]> {
    return this.watch((backend) => backend.perturbations());
  }

  /** A perturbed picture as PNG. */
  async perturb(kind: Perturbation, image: ImageInput, seed = 0): Promise<Uint8Array> {
    const bytes = await imageBytes(image);
    return this.watch((backend) => backend.perturb(kind, bytes, seed));
  }

  /** A drawn picture with its question, for samples and tests. */
  gymItem(family: string, index: number): Promise<GymItem> {
    return this.watch((backend) => backend.gymItem(family, index));
  }

  /** Compares this browser's numbers with the native binary's. */
  selftest(): Promise<SelftestResult> {
    return this.watch((backend) => backend.selftest());
  }

  /** Loads the model again, in a fresh engine; the weights come from the cache. Joins a restart under way. */
  restart(options: RestartOptions = {}): Promise<void> {
    this.restarting ??= this.reload(options).finally(() => (this.restarting = undefined));
    return this.restarting;
  }

  private async reload({ onProgress, signal }: RestartOptions): Promise<void> {
    this.backend.terminate(new CppoError("aborted", "the engine was restarted"));
    this.backend = this.start();
    this.loaded = await loadWith(this.backend, this.request, onProgress, signal);
    this.lost = undefined;
  }

  /** Frees device and memory; the model is of no more use, except to {@link restart}. */
  async unload(): Promise<void> {
    await this.backend.unload().catch(() => {});
    this.backend.terminate(new CppoError("aborted", "the model was unloaded"));
  }

  /** Passes errors on, and tells once when the engine is gone. */
  private async watch<T>(task: (backend: Backend) => Promise<T>): Promise<T> {
    const { backend } = this;
    try {
      return await task(backend);
    } catch (thrown) {
      const error = toCppoError(thrown);
      if (error.fatal && backend === this.backend && !this.lost) {
        this.lost = error;
        this.dispatchEvent(new LostEvent(error));
      }
      throw error;
    }
  }
}

/** Loads into a backend, and ends the backend if that fails. */
export async function loadWith(
  backend: Backend,
  request: LoadRequest,
  onProgress?: (progress: Progress) => void,
  signal?: AbortSignal,
): Promise<Loaded> {
  try {
    return await backend.load(request, onProgress, signal);
  } catch (thrown) {
    const error = toCppoError(thrown);
    backend.terminate(error);
    throw error;
  }
}

async function resolve<T extends Subject>(
  request: T,
  signal?: AbortSignal,
): Promise<Omit<T, "images" | "image" | "question"> & { messages: Message[]; images: Uint8Array[] }> {
  const { images = [], image, question, messages, ...rest } = request as T & {
    images?: ImageInput[];
    image?: ImageInput;
    question?: string;
    messages?: Message[];
  };
  const given = image === undefined ? images : [image, ...images];
  const bytes = await Promise.all(given.map((one) => imageBytes(one, signal)));
  if (messages === undefined && question === undefined) {
    throw new CppoError("bad-request", "neither messages nor a question given");
  }
  const asked: Message = {
    role: "user",
    content: [...given.map(() => ({ type: "image" as const })), { type: "text" as const, text: question ?? "" }],
  };
  return { ...rest, messages: messages ?? [asked], images: bytes } as never;
}
