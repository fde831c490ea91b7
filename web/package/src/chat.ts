/** OpenAI's chat completions on top of a model, so that code written for them runs on this one. */

import { CppoError } from "./errors.js";
import type { Model } from "./model.js";
import type { Candidate, ImageInput, Message, Response, ResponseToken, Sampling } from "./types.js";

export interface ChatPart {
  type: "text" | "image_url";
  text?: string;
  /** A data address, any other that the page may fetch, or a Blob, which OpenAI does not know. */
  image_url?: string | { url: string | Blob; detail?: string };
}

export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant";
  content: string | ChatPart[];
}

export interface ChatRequest extends Pick<Sampling, "temperature" | "top_p" | "seed"> {
  messages: ChatMessage[];
  /** Ignored: the model is the one that is loaded. */
  model?: string;
  n?: number;
  max_tokens?: number;
  max_completion_tokens?: number;
  logprobs?: boolean;
  top_logprobs?: number;
  stream?: boolean;
  signal?: AbortSignal;
}

export interface ChatTokenLogprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: { token: string; logprob: number; bytes: number[] }[];
}

type FinishReason = "stop" | "length";

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: {
    index: number;
    message: { role: "assistant"; content: string };
    logprobs: { content: ChatTokenLogprob[] } | null;
    finish_reason: FinishReason;
  }[];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
}

export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: "assistant"; content?: string };
    finish_reason: FinishReason | null;
  }[];
}

export class ChatCompletions {
  /** @internal */
  constructor(private readonly model: Model) {}

  create(request: ChatRequest & { stream: true }): Promise<AsyncIterable<ChatCompletionChunk>>;
  create(request: ChatRequest & { stream?: false }): Promise<ChatCompletion>;
  create(request: ChatRequest): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>>;
  async create(request: ChatRequest): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>> {
    const { messages, images } = split(request.messages);
    const generation = this.model.generate({
      messages,
      images,
      n: request.n,
      max_new_tokens: request.max_completion_tokens ?? request.max_tokens,
      temperature: request.temperature,
      top_p: request.top_p,
      seed: request.seed,
      logprobs: request.logprobs ? request.top_logprobs : undefined,
      signal: request.signal,
    });
    const head = {
      id: `chatcmpl-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`,
      created: Math.floor(Date.now() / 1000),
      model: this.model.manifest.name,
    };
    if (request.stream) return chunks(head, generation, request.n ?? 1);
    const responses = await generation.results;
    const tokens = responses.reduce((sum, { usage }) => sum + usage.completion_tokens, 0);
    const prompt = responses[0]?.usage.prompt_tokens ?? 0;
    return {
      ...head,
      object: "chat.completion",
      choices: responses.map((response) => ({
        index: response.index,
        message: { role: "assistant", content: response.text },
        logprobs: request.logprobs ? { content: response.tokens.map(tokenLogprob) } : null,
        finish_reason: finishReason(response),
      })),
      usage: { prompt_tokens: prompt, completion_tokens: tokens, total_tokens: prompt + tokens },
    };
  }
}

type Head = Pick<ChatCompletion, "id" | "created" | "model">;

async function* chunks(
  head: Head,
  generation: ReturnType<Model["generate"]>,
  n: number,
): AsyncGenerator<ChatCompletionChunk, void, undefined> {
  type Choice = ChatCompletionChunk["choices"][number];
  const chunk = (choice: Choice): ChatCompletionChunk =>
    ({ ...head, object: "chat.completion.chunk", choices: [choice] });
  for (let index = 0; index < n; index++) {
    yield chunk({ index, delta: { role: "assistant", content: "" }, finish_reason: null });
  }
  for await (const { index, text } of generation) {
    if (text) yield chunk({ index, delta: { content: text }, finish_reason: null });
  }
  for (const response of await generation.results) {
    yield chunk({ index: response.index, delta: {}, finish_reason: finishReason(response) });
  }
}

function split(chat: ChatMessage[]): { messages: Message[]; images: ImageInput[] } {
  const images: ImageInput[] = [];
  const messages = chat.map(({ role, content }): Message => {
    const known = role === "developer" ? "system" : role;
    if (typeof content === "string") return { role: known, content };
    const parts = content.map((part) => {
      if (part.type === "text") return { type: "text" as const, text: part.text ?? "" };
      const url = typeof part.image_url === "string" ? part.image_url : part.image_url?.url;
      if (part.type !== "image_url" || !url) {
        throw new CppoError("bad-request", `a message has a part of type ${part.type}; text and image_url are known`);
      }
      images.push(url);
      return { type: "image" as const };
    });
    return { role: known, content: parts };
  });
  return { messages, images };
}

function finishReason({ finish_reason }: Response): FinishReason {
  return finish_reason === "length" ? "length" : "stop";
}

function tokenLogprob({ text, logprob, top_logprobs }: ResponseToken): ChatTokenLogprob {
  const entry = (token: string, value: number) =>
    ({ token, logprob: value, bytes: [...new TextEncoder().encode(token)] });
  const top = (top_logprobs ?? []).map((candidate: Candidate) => entry(candidate.text, candidate.logprob));
  return { ...entry(text, logprob), top_logprobs: top };
}
