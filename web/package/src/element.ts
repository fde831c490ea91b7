/**
 * `<cppo-vlm src="picture.png" question="How many?">`: a picture, a question, an answer.
 *
 * Attributes: `model` (an address, or `demo`), `src`, `alt`, `question`, `perceive` (marks the words that
 * come from the picture), `device` (`auto`, `webgpu`, `cpu`), `auto` (asks as soon as it is seen).
 * Events: `progress`, `token`, `answer`, `perceived`, `error`, with what they say in `detail`.
 */

import { AnswerView } from "./answer-view.js";
import { ELEMENT_CSS } from "./element-style.js";
import { CppoError, toCppoError } from "./errors.js";
import type { Locations } from "./index.js";
import { passesText, progressText, speedText } from "./format.js";
import { acquire, type Lease } from "./shared.js";
import { TokenView } from "./token-view.js";
import type { DeviceChoice, ImageInput, ModelSource, Perceived, Progress, Response, Token } from "./types.js";

export interface CppoVlmEvents {
  progress: CustomEvent<Progress>;
  token: CustomEvent<Token>;
  answer: CustomEvent<Response>;
  perceived: CustomEvent<Perceived>;
  error: CustomEvent<CppoError>;
}

const TEMPLATE = `
<button type="button" class="picture" part="picture"><span>Choose or drop a picture</span><img part="image" alt="" hidden></button>
<input type="file" accept="image/*" hidden tabindex="-1">
<form part="form">
  <input type="text" part="question" aria-label="Question about the picture" placeholder="Ask about the picture" autocomplete="off">
  <button class="act" part="ask">Ask</button>
  <button type="button" class="act" part="stop" hidden>Stop</button>
</form>
<progress part="progress" max="1" aria-label="Loading the model" hidden></progress>
<p class="status" part="status" role="status"></p>
<p class="error" part="error" role="alert" hidden></p>
<div class="answer" part="answer" role="log" aria-label="Answer"></div>
<div class="tokens" part="tokens" hidden></div>`;

export class CppoVlm extends HTMLElement {
  /** Where the engine's parts are, for all elements; beside the package's files unless set. */
  static locations: Locations = {};

  static readonly observedAttributes = ["src", "alt", "question", "model", "device"];

  private readonly parts: ReturnType<typeof build>;
  private readonly answerView: AnswerView;
  private readonly tokenView: TokenView;
  private picture: ImageInput | undefined;
  private pictureUrl: string | undefined;
  private source: ModelSource | undefined;
  private lease: Lease | undefined;
  private run: AbortController | undefined;
  private seen: IntersectionObserver | undefined;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    this.parts = build(root);
    this.answerView = new AnswerView(this.parts.answer);
    this.tokenView = new TokenView(this.parts.tokens);
    this.listen();
  }

  connectedCallback(): void {
    if (!this.hasAttribute("auto")) return;
    this.seen = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      this.seen?.disconnect();
      void this.ask().catch(() => {});
    });
    this.seen.observe(this);
  }

  disconnectedCallback(): void {
    this.seen?.disconnect();
    this.stop();
    this.letGo();
  }

  attributeChangedCallback(name: string, before: string | null, value: string | null): void {
    if (before === value) return;
    if (name === "question") this.parts.question.value = value ?? "";
    else if (name === "alt") this.parts.image.alt = value ?? "";
    else if (name === "src") this.showPicture(value ?? undefined);
    else this.letGo();
  }

  /** The model; set files here that a user picked. */
  get model(): ModelSource {
    return this.source ?? this.getAttribute("model") ?? "demo";
  }
  set model(value: ModelSource) {
    this.source = value;
    this.letGo();
  }

  get device(): DeviceChoice {
    const value = this.getAttribute("device");
    return value === "webgpu" || value === "cpu" ? value : "auto";
  }
  set device(value: DeviceChoice) {
    this.setAttribute("device", value);
  }

  get src(): string | null {
    return this.getAttribute("src");
  }
  set src(value: string) {
    this.setAttribute("src", value);
  }

  /** The picture: bytes, a Blob or an address. */
  get image(): ImageInput | undefined {
    return this.picture;
  }
  set image(value: ImageInput | undefined) {
    this.showPicture(value);
  }

  get question(): string {
    return this.parts.question.value;
  }
  set question(value: string) {
    this.parts.question.value = value;
  }

  get perceive(): boolean {
    return this.hasAttribute("perceive");
  }
  set perceive(value: boolean) {
    this.toggleAttribute("perceive", value);
  }

  /** Asks, and resolves with the answer; a question under way is stopped. */
  async ask(question = this.question): Promise<Response> {
    this.stop();
    const run = new AbortController();
    this.run = run;
    this.question = question;
    this.clear();
    this.busy(true);
    try {
      return await this.answerTo(question, run.signal);
    } catch (thrown) {
      const error = toCppoError(thrown);
      if (this.run === run) this.showError(error);
      throw error;
    } finally {
      if (this.run === run) this.busy(false);
    }
  }

  /** Stops within one token. */
  stop(): void {
    this.run?.abort();
    this.run = undefined;
    this.busy(false);
  }

  private async answerTo(question: string, signal: AbortSignal): Promise<Response> {
    if (this.picture === undefined) throw new CppoError("bad-request", "choose a picture first");
    if (!question.trim()) throw new CppoError("bad-request", "the question is empty");
    const subject = { question, image: this.picture };
    this.lease ??= acquire(
      { model: this.model, device: this.device, ...CppoVlm.locations },
      (progress) => this.showProgress(progress),
    );
    const { lease } = this;
    let model;
    try {
      model = await lease.model;
    } catch (error) {
      if (this.lease === lease) this.letGo();
      throw error;
    }
    if (model.failure) await model.restart({ onProgress: (progress) => this.showProgress(progress), signal });
    signal.throwIfAborted();
    this.say("Looking at the picture…");
    const generation = model.generate({ ...subject, signal });
    let text = "";
    let count = 0;
    for await (const token of generation) {
      if (signal.aborted) break;
      text += token.text;
      this.say(`Answering, ${++count} tokens`);
      this.answerView.show(text);
      this.emit("token", token);
    }
    const response = await generation.result;
    signal.throwIfAborted();
    this.answerView.show(response.text);
    const { timing, usage } = response;
    const speed = timing.tokens_per_s ? `, ${speedText(timing.tokens_per_s)}` : "";
    const summary = `${usage.image_tokens} visual tokens, ${usage.completion_tokens} answered${speed}`;
    this.say(summary);
    this.emit("answer", response);
    if (!this.perceive) return response;
    this.say("Looking again without the picture's information…");
    const perceived = await model.perceive({
      ...subject,
      response_ids: response.tokens.map(({ id }) => id),
      onPass: (passes) => {
        if (!signal.aborted) this.say(passesText(passes));
      },
      signal,
    });
    signal.throwIfAborted();
    this.parts.tokens.hidden = false;
    this.tokenView.show(perceived.tokens);
    const { count: marked } = this.tokenView.marked;
    this.say(`${marked} of ${perceived.tokens.length} tokens come from the picture · ${summary}`);
    this.emit("perceived", perceived);
    return response;
  }

  private listen(): void {
    const { form, stop, choose, file } = this.parts;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.ask().catch(() => {});
    });
    stop.addEventListener("click", (event) => {
      if (event.detail > 1) return; // The second half of a double click on Ask, whose place it takes.
      this.stop();
      this.say("Stopped");
    });
    choose.addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      if (file.files?.[0]) this.showPicture(file.files[0]);
    });
    this.addEventListener("dragover", (event) => {
      event.preventDefault();
      choose.classList.add("over");
    });
    this.addEventListener("dragleave", () => choose.classList.remove("over"));
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      choose.classList.remove("over");
      const dropped = [...(event.dataTransfer?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (dropped) this.showPicture(dropped);
    });
    this.parts.image.addEventListener("load", () => {
      const { image } = this.parts;
      image.classList.toggle("small", image.naturalWidth < 200);
    });
  }

  private showPicture(picture: ImageInput | undefined): void {
    this.picture = picture;
    if (this.pictureUrl) URL.revokeObjectURL(this.pictureUrl);
    this.pictureUrl = undefined;
    const { image, choose } = this.parts;
    let address = "";
    if (typeof picture === "string" || picture instanceof URL) address = String(picture);
    else if (picture !== undefined) {
      const blob = picture instanceof Blob ? picture : new Blob([picture as BlobPart]);
      address = this.pictureUrl = URL.createObjectURL(blob);
    }
    image.hidden = !address;
    image.alt = this.getAttribute("alt") ?? "The picture asked about";
    if (address) image.src = address;
    else image.removeAttribute("src");
    choose.querySelector("span")!.hidden = Boolean(address);
  }

  private showProgress(progress: Progress): void {
    const { progress: bar } = this.parts;
    bar.hidden = progress.phase === "ready" || !this.run;
    if (progress.total) bar.value = progress.loaded / progress.total;
    else bar.removeAttribute("value");
    if (this.run) this.say(progressText(progress));
    this.emit("progress", progress);
  }

  private showError(error: CppoError): void {
    if (error.code === "aborted") {
      this.say("Stopped");
      return;
    }
    this.say("");
    this.parts.error.hidden = false;
    this.parts.error.textContent = `${error.message}. ${error.hint}`;
    this.emit("error", error);
  }

  private clear(): void {
    this.answerView.clear();
    this.parts.tokens.hidden = true;
    this.parts.error.hidden = true;
  }

  private busy(busy: boolean): void {
    const { ask, stop, answer, progress } = this.parts;
    ask.hidden = busy;
    stop.hidden = !busy;
    if (!busy) progress.hidden = true;
    answer.setAttribute("aria-busy", String(busy));
  }

  private say(text: string): void {
    this.parts.status.textContent = text;
  }

  private letGo(): void {
    this.lease?.release();
    this.lease = undefined;
  }

  private emit<K extends keyof CppoVlmEvents>(type: K, detail: CppoVlmEvents[K]["detail"]): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: type !== "error", composed: true }));
  }
}

function build(root: ShadowRoot) {
  const style = document.createElement("style");
  style.textContent = ELEMENT_CSS;
  const template = document.createElement("template");
  template.innerHTML = TEMPLATE;
  root.append(style, template.content);
  const find = <T extends HTMLElement>(selector: string) => root.querySelector<T>(selector)!;
  return {
    choose: find<HTMLButtonElement>(".picture"),
    image: find<HTMLImageElement>("img"),
    file: find<HTMLInputElement>("input[type=file]"),
    form: find<HTMLFormElement>("form"),
    question: find<HTMLInputElement>("input[type=text]"),
    ask: find<HTMLButtonElement>("[part=ask]"),
    stop: find<HTMLButtonElement>("[part=stop]"),
    progress: find<HTMLProgressElement>("progress"),
    status: find<HTMLElement>(".status"),
    error: find<HTMLElement>(".error"),
    answer: find<HTMLElement>(".answer"),
    tokens: find<HTMLElement>(".tokens"),
  };
}

declare global {
  interface HTMLElementTagNameMap {
    "cppo-vlm": CppoVlm;
  }
}

if (!customElements.get("cppo-vlm")) customElements.define("cppo-vlm", CppoVlm);
