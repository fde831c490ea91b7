/** The data that requests and results are made of: the JSON of the native commands. */

/** Where the engine computes; `auto` takes WebGPU when a hardware adapter is there. */
export type DeviceChoice = "auto" | "webgpu" | "cpu";

export interface DeviceInfo {
  backend: "webgpu" | "cpu";
  /** The adapter's name, empty where the browser keeps it to itself. */
  adapter: string;
  /** Whether half-precision floats can be computed with. */
  f16: boolean;
  maxBufferBytes: number;
}

/** A file of an exported model. */
export interface ManifestFile {
  name: string;
  bytes: number;
  /** SHA-256 in hexadecimal. */
  sha256: string;
}

/** `manifest.json` of a folder that `cppo export` wrote. */
export interface Manifest {
  format: "cppo-web-1";
  name: string;
  dtype: "f32" | "f16" | "q8" | "q4";
  /** Number of weights. */
  parameters: number;
  /** Config, tokenizer, template. */
  files: ManifestFile[];
  /** The weights. */
  shards: ManifestFile[];
  requirements: { download_bytes: number; device_bytes: number; largest_buffer_bytes: number };
  /** A case with the native program's values; the engine reads it. */
  selftest?: unknown;
}

/** What the engine says of the loaded model. */
export type ModelInfo = Record<string, unknown>;

export interface TextPart {
  type: "text";
  text: string;
}

/** Stands for the next picture of the request's list. */
export interface ImagePart {
  type: "image";
}

export interface Message {
  role: "system" | "user" | "assistant";
  content: string | (TextPart | ImagePart)[];
}

/** How tokens are drawn; the defaults take the likeliest token each time. */
export interface Sampling {
  /** Divides the logits; 0 takes the likeliest token. */
  temperature?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  repetition_penalty?: number;
  /** The same seed on the same device draws the same tokens. */
  seed?: number;
}

export interface GenerateRequest extends Sampling {
  messages: Message[];
  /** Number of responses. */
  n?: number;
  max_new_tokens?: number;
  /** Likeliest tokens reported at each place. */
  logprobs?: number;
  /** Whether streamed tokens carry log-probability and entropy. */
  details?: boolean;
}

/** A piece of a response as it appears. */
export interface Token {
  /** Which of the `n` responses it belongs to. */
  index: number;
  id: number;
  /** What it adds to the text; empty until a character is complete. */
  text: string;
  logprob?: number;
  /** In nats. */
  entropy?: number;
}

export interface Candidate {
  id: number;
  text: string;
  logprob: number;
}

export interface ResponseToken {
  id: number;
  text: string;
  logprob: number;
  /** In nats. */
  entropy: number;
  top_logprobs?: Candidate[];
}

/** What `cppo infer --json` prints. */
export interface Response {
  index: number;
  text: string;
  /** Between `<think>` and `</think>`. */
  think: string | null;
  /** Content of the last `\boxed{…}`. */
  answer: string | null;
  finish_reason: "stop" | "length" | "cancelled";
  tokens: ResponseToken[];
  usage: { prompt_tokens: number; image_tokens: number; completion_tokens: number };
  timing: { load_s: number; first_token_s: number; total_s: number; tokens_per_s: number | null };
}

/** A perturbation with its parameters, as in a config: `{kind: "patch_mask", ratio: 0.6}`. */
export interface Perturbation {
  kind: string;
  weight?: number;
  [parameter: string]: unknown;
}

export interface PerceiveRequest {
  messages: Message[];
  /** The response to look at; generated greedily where it is missing. */
  response?: string;
  /** The response as token ids, in place of text. */
  response_ids?: number[];
  max_new_tokens?: number;
  /** Perturbed pictures of each kind to average over. */
  draws?: number;
  seed?: number;
  top_logprobs?: number;
  cpl?: {
    /** Share of the tokens whose entropy rises that count as perception tokens. */
    top?: number;
    score_eps?: number;
    removing?: Perturbation[];
    preserving?: Perturbation[];
  };
}

/** How many passes over the response are done: one with the picture as it is, then one for each perturbed one. */
export interface Passes {
  done: number;
  total: number;
}

/** A token of the response, scored with and without the picture's information. */
export interface PerceivedToken {
  id: number;
  text: string;
  logprob: number;
  logprob_preserved: number;
  logprob_removed: number;
  entropy: number;
  entropy_preserved: number;
  entropy_removed: number;
  /** `entropy_removed - entropy`, in nats. */
  shift: number;
  /** `max(shift, 0) / (entropy_removed + score_eps)` */
  score: number;
  /** Whether it is a perception token. */
  perception: boolean;
  top_logprobs: Candidate[];
  top_logprobs_removed: Candidate[];
}

/** What `cppo perceive --json` prints, and the first draw of perturbed pictures as PNG. */
export interface Perceived {
  text: string;
  think: string | null;
  answer: string | null;
  tokens: PerceivedToken[];
  images: { removed: Uint8Array[]; preserved: Uint8Array[] };
}

export interface ImageInfo {
  width: number;
  height: number;
  /** Size that the model sees. */
  processedWidth: number;
  processedHeight: number;
  /** Visual tokens. */
  tokens: number;
}

export interface PerturbationKind {
  name: string;
  /** Whether it removes information. */
  removes: boolean;
}

/** A picture of the perception gym with its question. */
export interface GymItem {
  question: string;
  answer: string;
  /** PNG */
  image: Uint8Array;
}

/** A fixed case beside the native binary's values. */
export interface SelftestResult {
  tokens: number;
  /** How many tokens are the same. */
  agree: number;
  maxLogprobDifference: number;
  passed: boolean;
}

/** How far loading has come, over all files together. */
export interface Progress {
  phase: "engine" | "weights" | "ready";
  loaded: number;
  total: number;
  /** Of `loaded`, what came from this browser's cache or the user's files. */
  cached: number;
  /** Bytes per second from the network, 0 while unknown. */
  rate: number;
  /** Seconds left, undefined while unknown. */
  eta?: number;
}

/** Address of an exported folder or its manifest, the folder's files, or the demo model. */
export type ModelSource = "demo" | string | URL | File[];

/** An encoded picture (PNG, JPEG, WebP, GIF, BMP), or where it is. */
export type ImageInput = Blob | ArrayBuffer | ArrayBufferView | string | URL;
