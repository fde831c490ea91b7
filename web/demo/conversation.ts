/** The question and its answer. */

import { CppoError, INSTRUCTION, type Generation, type Model, type Response } from "cppo-web";
import { AnswerView, speedText } from "cppo-web/view";
import { byId, copyText, fillFacts, make } from "./dom.js";
import { permalink, whole } from "./settings.js";

/** Words of the samples' pictures, for suggestions. */
const SUGGESTIONS = ["How many red shapes?", "How many blue shapes?", "How many circle shapes?", "How many ring shapes?"];

/** What was asked and answered. */
export interface Turn {
  model: Model;
  image: Uint8Array;
  /** As the model got it, with its instruction. */
  question: string;
  response: Response;
}

export class Conversation {
  private readonly view = new AnswerView(byId("answer"));
  private model: Model | undefined;
  private image: () => Uint8Array | undefined = () => undefined;
  private generation: Generation | undefined;
  private answer = "";
  /** Counts questions, so that a late end of an old one changes nothing. */
  private turn = 0;

  constructor(
    private readonly onStart: () => void,
    private readonly onTurn: (turn: Turn) => void,
  ) {
    const question = byId<HTMLTextAreaElement>("question");
    byId("ask-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.ask();
    });
    question.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      void this.ask();
    });
    byId("again").addEventListener("click", () => {
      const seed = byId<HTMLInputElement>("seed");
      // Another answer needs another seed, and only where there is chance.
      if (Number(byId<HTMLInputElement>("temperature").value) > 0) {
        seed.value = String((whole("seed", 0) + 1) % 2 ** 32);
        seed.dispatchEvent(new Event("input"));
      }
      void this.ask();
    });
    byId("stop").addEventListener("click", (event) => {
      // The second half of a double click on Ask, whose place it takes, stops nothing.
      if (event.detail <= 1) this.generation?.abort();
    });
    byId("copy").addEventListener("click", () => void copyText(this.answer, byId("copy")));
    byId("suggestions").append(...SUGGESTIONS.map((text) => {
      const button = make("button", { type: "button", className: "quiet" }, text);
      button.addEventListener("click", () => {
        question.value = text;
        question.dispatchEvent(new Event("input"));
        void this.ask();
      });
      return button;
    }));
    const temperature = byId<HTMLInputElement>("temperature");
    const show = () => (byId("temperature-out").textContent = temperature.value === "0" ? "0, the likeliest" : temperature.value);
    temperature.addEventListener("input", show);
    show();
  }

  attach(model: Model | undefined, image: () => Uint8Array | undefined): void {
    this.turn++;
    this.generation?.abort();
    this.model = model;
    this.image = image;
    this.busy(false);
    byId("restart").hidden = true;
    this.hideError();
  }

  /** Shows an error that is not the conversation's own. */
  showError(error: CppoError): void {
    if (error.code === "aborted") return;
    const failure = byId("error");
    failure.hidden = false;
    failure.textContent = `${error.message}. ${error.hint}`;
    byId("restart").hidden = !error.fatal;
  }

  clear(): void {
    this.turn++;
    this.generation?.abort();
    this.answer = "";
    this.view.clear();
    byId("stats").hidden = true;
    byId("status").textContent = "";
    byId<HTMLButtonElement>("copy").disabled = true;
    byId<HTMLButtonElement>("again").disabled = true;
    this.hideError();
    this.busy(false);
  }

  async ask(): Promise<void> {
    const { model } = this;
    const text = byId<HTMLTextAreaElement>("question").value.trim();
    const image = this.image();
    if (!model) return;
    if (!text) return this.say("Write a question first.");
    if (!image) return this.say("Choose a picture first.");
    this.clear();
    const turn = ++this.turn;
    this.busy(true);
    this.onStart();
    this.say("Looking at the picture…");
    const question = byId<HTMLInputElement>("reason").checked ? `${text} ${INSTRUCTION}` : text;
    const temperature = Number(byId<HTMLInputElement>("temperature").value);
    const generation = model.generate({
      question, image, temperature, seed: whole("seed", 0), max_new_tokens: whole("length", 256),
    });
    this.generation = generation;
    try {
      const response = await this.stream(generation, turn);
      if (!response) return;
      this.finish(response, model);
      if (response.finish_reason !== "cancelled" && byId<HTMLInputElement>("look").checked) {
        this.onTurn({ model, image, question, response });
      }
    } catch (error) {
      if (turn !== this.turn) return;
      const failure = error as CppoError;
      this.say(failure.code === "aborted" ? "Stopped." : "");
      this.showError(failure);
    } finally {
      if (turn === this.turn) {
        this.busy(false);
        byId<HTMLButtonElement>("again").disabled = false;
        byId<HTMLButtonElement>("copy").disabled = this.answer === "";
      }
    }
  }

  /** Shows tokens as they come, at most once a frame. */
  private async stream(generation: Generation, turn: number): Promise<Response | undefined> {
    const start = performance.now();
    let first = 0;
    let count = 0;
    let frame = 0;
    const draw = () => {
      frame = 0;
      if (turn !== this.turn) return;
      this.view.show(this.answer);
      const seconds = (performance.now() - first) / 1000;
      const speed = count > 1 && seconds > 0 ? speedText((count - 1) / seconds) : "…";
      byId("stats").hidden = false;
      fillFacts(byId("stats"), [
        ["First token", `${((first - start) / 1000).toFixed(2)} s`],
        ["Answer", `${count} tokens`],
        ["Speed", speed],
      ]);
    };
    for await (const { text } of generation) {
      if (turn !== this.turn) return undefined;
      if (count++ === 0) {
        first = performance.now();
        this.say("Answering…");
      }
      this.answer += text;
      frame ||= requestAnimationFrame(draw);
    }
    const response = await generation.result;
    cancelAnimationFrame(frame);
    return turn === this.turn ? response : undefined;
  }

  private finish(response: Response, model: Model): void {
    this.answer = response.text;
    this.view.show(response.text);
    const { timing, usage, finish_reason } = response;
    byId("stats").hidden = false;
    fillFacts(byId("stats"), [
      ["First token", `${timing.first_token_s.toFixed(2)} s`],
      ["Answer", `${usage.completion_tokens} tokens`],
      ["Speed", timing.tokens_per_s ? speedText(timing.tokens_per_s) : "too short to tell"],
      ["Picture", `${usage.image_tokens} visual tokens`],
      ["Device", model.device.backend === "webgpu" ? "WebGPU" : "processor"],
    ]);
    const ends = {
      stop: response.answer === null ? "Answered." : `Answered: ${response.answer}`,
      length: "Cut off at the length that was set.",
      cancelled: "Stopped.",
    };
    this.say(ends[finish_reason]);
    history.replaceState(null, "", permalink());
  }

  private busy(busy: boolean): void {
    byId("ask").hidden = busy;
    byId<HTMLButtonElement>("ask").disabled = !this.model;
    byId("stop").hidden = !busy;
    byId("answer").setAttribute("aria-busy", String(busy));
  }

  private hideError(): void {
    byId("error").hidden = true;
    byId("restart").hidden = true;
  }

  private say(text: string): void {
    byId("status").textContent = text;
  }
}
