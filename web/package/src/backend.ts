/** What runs a model: on this thread (`local.ts`) or in a worker (`client.ts`). */

import type { CppoError } from "./errors.js";
import type {
  DeviceChoice, DeviceInfo, GenerateRequest, GymItem, ImageInfo, Manifest, ModelInfo, Passes, Perceived,
  PerceiveRequest, Perturbation, PerturbationKind, Progress, Response, SelftestResult, Token,
} from "./types.js";

/** What to load; everything can be sent to a worker. */
export interface LoadRequest {
  /** Absolute address of an exported folder or its manifest, or the files themselves. */
  model: string | File[];
  device: DeviceChoice;
  engineUrl: string;
  wasmUrl: string;
}

export interface Loaded {
  manifest: Manifest;
  info: ModelInfo;
  device: DeviceInfo;
  /** Why the weights could not be kept for the next time. */
  storeError?: CppoError;
}

export interface Backend {
  load(request: LoadRequest, onProgress?: (progress: Progress) => void, signal?: AbortSignal): Promise<Loaded>;
  describeImage(image: Uint8Array): Promise<ImageInfo>;
  generate(
    request: GenerateRequest,
    images: Uint8Array[],
    onToken?: (token: Token) => void,
    signal?: AbortSignal,
  ): Promise<Response[]>;
  perceive(
    request: PerceiveRequest,
    images: Uint8Array[],
    onPass?: (passes: Passes) => void,
    signal?: AbortSignal,
  ): Promise<Perceived>;
  perturbations(): Promise<PerturbationKind[]>;
  perturb(kind: Perturbation, image: Uint8Array, seed: number): Promise<Uint8Array>;
  gymItem(family: string, index: number): Promise<GymItem>;
  selftest(): Promise<SelftestResult>;
  unload(): Promise<void>;
  /** Ends it at once, whatever it is doing; everything under way fails with `reason`. */
  terminate(reason: Error): void;
}
