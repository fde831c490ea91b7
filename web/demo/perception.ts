/** The perception view: the answer's tokens by how much they need the picture. */

import { CppoError, type Perceived, type PerceiveOptions, type Perturbation } from "cppo-web";
import { passesText, toCsv, TokenEvent, TokenView, visible } from "cppo-web/view";
import type { Turn } from "./conversation.js";
import { byId, copyText, debounce, make, saveFile } from "./dom.js";
import { HeatMap } from "./heat.js";
import { label, perturbation, strengthOf } from "./kinds.js";
import { drawSheet } from "./sheet.js";
import { asked, permalink, view, whole } from "./settings.js";
import { fillTable } from "./table.js";

/** The select's value for the two that training draws from. */
const AS_TRAINED = "";

export class PerceptionPanel {
  private readonly tokens = new TokenView(byId("tokens"));
  private readonly heat = new HeatMap(byId<HTMLCanvasElement>("heat"), byId("original-caption"));
  private turn: Turn | undefined;
  private perceived: Perceived | undefined;
  private run: AbortController | undefined;
  private urls: string[] = [];

  constructor(private readonly onError: (error: CppoError) => void) {
    const again = debounce(() => void this.look(), 250);
    byId("kind").addEventListener("input", () => {
      this.showStrength();
      again();
    });
    byId("strength").addEventListener("input", () => {
      this.showStrength(Number(byId<HTMLInputElement>("strength").value));
      again();
    });
    byId("draws").addEventListener("input", again);
    byId("top").addEventListener("input", () => this.mark());
    document.querySelectorAll("input[name=view]").forEach((radio) => radio.addEventListener("input", () => this.showView()));
    byId("tokens").addEventListener("tokenview", (event) => {
      const { place, chosen } = event as TokenEvent;
      if (chosen && this.turn && this.perceived) void this.heat.show(this.turn, this.perceived, place).catch(this.onError);
    });
    byId("export-csv").addEventListener("click", () => {
      if (this.perceived) saveFile("perception.csv", toCsv(this.perceived.tokens, this.tokens.marked.selected), "text/csv");
    });
    byId("export-json").addEventListener("click", () => this.exportJson());
    byId("export-png").addEventListener("click", () => void this.exportPng());
    byId("copy-link").addEventListener("click", () => void copyText(permalink(), byId("copy-link")));
  }

  /** Offers the perturbations that the engine knows. */
  async attach(model: Turn["model"]): Promise<void> {
    const kinds = (await model.perturbations()).filter(({ removes }) => removes);
    const select = byId<HTMLSelectElement>("kind");
    const before = select.value || asked("removing") || AS_TRAINED;
    select.replaceChildren(
      make("option", { value: AS_TRAINED }, "as in training (rectangles or zoom)"),
      ...kinds.map(({ name }) => make("option", { value: name }, label(name))),
    );
    select.value = kinds.some(({ name }) => name === before) ? before : AS_TRAINED;
    this.showStrength(Number(asked("strength") ?? Number.NaN));
  }

  /** Looks at an answer. */
  async show(turn: Turn): Promise<void> {
    this.turn = turn;
    await this.look();
  }

  hide(): void {
    this.run?.abort();
    this.heat.clear();
    this.turn = undefined;
    this.perceived = undefined;
    byId("perception").hidden = true;
  }

  private async look(): Promise<void> {
    const { turn } = this;
    if (!turn) return;
    this.run?.abort();
    const run = new AbortController();
    this.run = run;
    this.heat.clear();
    byId("perception").hidden = false;
    byId("perception").setAttribute("aria-busy", "true");
    byId("perception-summary").textContent = "Looking again without the picture's information…";
    try {
      const perceived = await turn.model.perceive({
        ...this.request(turn),
        onPass: (passes) => {
          if (!run.signal.aborted) byId("perception-summary").textContent = passesText(passes);
        },
        signal: run.signal,
      });
      if (run.signal.aborted) return;
      this.perceived = perceived;
      this.showPictures(turn, perceived);
      this.tokens.show(perceived.tokens);
      this.mark();
      this.showView();
    } catch (error) {
      if (run.signal.aborted) return;
      byId("perception-summary").textContent = "";
      this.onError(error as CppoError);
    } finally {
      if (this.run === run) byId("perception").removeAttribute("aria-busy");
    }
  }

  private request(turn: Turn): PerceiveOptions {
    const removing = this.removing();
    return {
      question: turn.question,
      image: turn.image,
      response_ids: turn.response.tokens.map(({ id }) => id),
      draws: whole("draws", 4),
      seed: whole("seed", 0),
      ...(removing && { cpl: { removing: [removing] } }),
    };
  }

  private removing(): Perturbation | undefined {
    const kind = byId<HTMLSelectElement>("kind").value;
    if (kind === AS_TRAINED) return undefined;
    return perturbation(kind, Number(byId<HTMLInputElement>("strength").value));
  }

  private showStrength(value = Number.NaN): void {
    const strength = strengthOf(byId<HTMLSelectElement>("kind").value);
    byId("strength-label").hidden = !strength;
    if (!strength) return;
    const slider = byId<HTMLInputElement>("strength");
    const { min, max, step } = strength;
    Object.assign(slider, { min, max, step });
    slider.value = String(Number.isNaN(value) ? strength.value : value);
    byId("strength-name").textContent = strength.name;
    byId("strength-out").textContent = slider.value;
  }

  private showPictures(turn: Turn, perceived: Perceived): void {
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    const address = (bytes: Uint8Array) => URL.createObjectURL(new Blob([bytes as BlobPart]));
    const removed = perceived.images.removed[0];
    this.urls = [address(turn.image), ...(removed ? [address(removed)] : [])];
    for (const [place, id] of ["original", "removed"].entries()) {
      const image = byId<HTMLImageElement>(id);
      image.onload = () => image.classList.toggle("small", image.naturalWidth < 200);
      if (this.urls[place]) image.src = this.urls[place];
    }
  }

  /** Marks as many tokens as the slider says. */
  private mark(): void {
    const top = Number(byId<HTMLInputElement>("top").value);
    byId("top-out").textContent = `${top} %`;
    if (!this.perceived) return;
    this.tokens.top = top / 100;
    const { count, rising, cutoff } = this.tokens.marked;
    const all = this.perceived.tokens.length;
    byId("perception-summary").textContent = count
      ? `${count} of ${all} tokens come from the picture: score at least ${cutoff.toFixed(2)}; ${rising} grow unsure without it.`
      : `None of ${all} tokens grows unsure without the picture's information.`;
    fillTable(byId("table"), this.perceived.tokens, this.tokens.marked.selected);
  }

  private showView(): void {
    byId("tokens").hidden = view() !== "text";
    byId("table").hidden = view() !== "table";
  }

  private exportJson(): void {
    if (!this.perceived || !this.turn) return;
    const { images: _, ...result } = this.perceived;
    const { selected } = this.tokens.marked;
    const tokens = result.tokens.map((token, place) => ({ ...token, perception: selected[place] }));
    const settings = { removing: this.removing() ?? "default", draws: whole("draws", 4), seed: whole("seed", 0), top: this.tokens.top };
    const json = JSON.stringify({ question: this.turn.question, ...result, tokens, settings }, null, 1);
    saveFile("perception.json", json, "application/json");
  }

  private async exportPng(): Promise<void> {
    if (!this.perceived || !this.turn) return;
    const sheet = await drawSheet({
      question: byId<HTMLTextAreaElement>("question").value,
      pictures: [byId<HTMLImageElement>("original"), byId<HTMLImageElement>("removed")],
      tokens: this.perceived.tokens.map((token, place) => (
        { text: visible(token.text), score: token.score, marked: this.tokens.marked.selected[place]! }
      )),
      summary: byId("perception-summary").textContent ?? "",
    });
    saveFile("perception.png", sheet, "image/png");
  }
}
