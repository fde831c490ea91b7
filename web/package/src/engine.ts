/** The interface of the WebAssembly module. */

import type {
  DeviceChoice, DeviceInfo, GenerateRequest, GymItem, ImageInfo, Manifest, ModelInfo, Perceived,
  PerceiveRequest, Perturbation, PerturbationKind, Response, SelftestResult, Token,
} from "./types.js";

export interface Engine {
  device(): DeviceInfo;
  begin(manifest: Manifest, files: Record<string, Uint8Array>): void;
  addShard(name: string, bytes: Uint8Array): Promise<void>;
  finish(): ModelInfo;
  describeImage(bytes: Uint8Array): ImageInfo;
  generate(
    request: GenerateRequest,
    images: Uint8Array[],
    onToken: (token: Token) => void,
    signal?: AbortSignal,
  ): Promise<Response[]>;
  perceive(
    request: PerceiveRequest,
    images: Uint8Array[],
    onPass?: (done: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<Perceived>;
  perturbations(): PerturbationKind[];
  perturb(kind: Perturbation, image: Uint8Array, seed: number): Uint8Array;
  gymItem(family: string, index: number): GymItem;
  selftest(): Promise<SelftestResult>;
  unload(): void;
  /** Settles when the device is lost; undefined for the CPU. */
  lost?(): Promise<string> | undefined;
}

export interface EngineModule {
  default(input: { module_or_path: string | URL }): Promise<unknown>;
  Engine: { open(device: DeviceChoice): Promise<Engine> };
}

/** Where the parts of the package are; beside its own file unless told otherwise. */
export interface Locations {
  /** The JavaScript side of the engine. */
  engineUrl?: string | URL;
  /** The WebAssembly module. */
  wasmUrl?: string | URL;
  /** The worker script. */
  workerUrl?: string | URL;
}
