/**
 * Where in the picture a token comes from: regions are hidden one at a time, first in a coarse grid,
 * then again in finer pieces where hiding cost the token the most probability.
 */

import type { Perceived } from "cppo-web";
import { visible } from "cppo-web/view";
import type { Turn } from "./conversation.js";

/** Regions along each side at first. */
const GRID = 3;
/** How often the strongest regions are cut in four. */
const REFINEMENTS = 1;
/** Regions that are cut. */
const STRONGEST = 3;
/** Pictures are handed to the model at no more than this size. */
const MAX_SIDE = 1024;

/** A part of the picture, as shares of its sides. */
interface Region {
  x: number;
  y: number;
  side: number;
}

export class HeatMap {
  private run: AbortController | undefined;
  private turn: Turn | undefined;
  /** ln p of all tokens with a region hidden; the empty key is the whole picture. */
  private known = new Map<string, number[]>();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly caption: HTMLElement,
  ) {}

  clear(): void {
    this.run?.abort();
    this.canvas.getContext("2d")?.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.caption.textContent = "as it is";
  }

  /** Measures and draws, coarse first; stops an earlier one. */
  async show(turn: Turn, perceived: Perceived, place: number): Promise<void> {
    this.clear();
    const run = new AbortController();
    this.run = run;
    if (this.turn !== turn) this.known.clear();
    this.turn = turn;
    const name = visible(perceived.tokens[place]!.text);
    try {
      const masker = await Masker.open(turn.image);
      const drops = new Map<Region, number>();
      const measure = async (region?: Region) =>
        (await this.logprobs(turn, perceived, masker, region, run.signal))[place]!;
      const whole = await measure();
      let round = grid();
      for (let refinement = 0; ; refinement++) {
        for (const [done, region] of round.entries()) {
          this.caption.textContent = `where “${name}” comes from: ${done} of ${round.length}`;
          drops.set(region, whole - (await measure(region)));
          if (run.signal.aborted) return;
          this.draw(drops, masker);
        }
        if (refinement === REFINEMENTS || masker.isTiny(round[0]!)) break;
        const strongest = [...drops].filter(([, drop]) => drop > 0).sort((a, b) => b[1] - a[1]).slice(0, STRONGEST);
        if (!strongest.length) break;
        for (const [region] of strongest) drops.delete(region);
        round = strongest.flatMap(([region]) => quarters(region));
      }
      const most = Math.max(...drops.values());
      this.caption.textContent = most > 0
        ? `where “${name}” comes from: hiding the darkest part costs ${most.toFixed(2)} nats`
        : `hiding no part makes “${name}” less likely`;
    } catch (error) {
      if (run.signal.aborted) return;
      this.clear();
      throw error;
    }
  }

  private async logprobs(
    turn: Turn,
    perceived: Perceived,
    masker: Masker,
    region: Region | undefined,
    signal: AbortSignal,
  ): Promise<number[]> {
    const key = region ? `${region.x} ${region.y} ${region.side}` : "";
    const known = this.known.get(key);
    if (known) return known;
    const same = [{ kind: "identity" }];
    const scored = await turn.model.perceive({
      question: turn.question,
      image: await masker.hide(region),
      response_ids: perceived.tokens.map(({ id }) => id),
      draws: 1,
      top_logprobs: 0,
      cpl: { removing: same, preserving: same },
      signal,
    });
    const logprobs = scored.tokens.map(({ logprob }) => logprob);
    this.known.set(key, logprobs);
    return logprobs;
  }

  private draw(drops: Map<Region, number>, masker: Masker): void {
    const { canvas } = this;
    canvas.width = masker.width;
    canvas.height = masker.height;
    const context = canvas.getContext("2d")!;
    const most = Math.max(...drops.values(), 0.05);
    context.fillStyle = getComputedStyle(canvas).getPropertyValue("--cppo-accent");
    for (const [region, drop] of drops) {
      context.globalAlpha = 0.75 * Math.max(drop, 0) / most;
      const [x, y, width, height] = masker.pixels(region);
      context.fillRect(x, y, width, height);
    }
  }
}

/** Hides parts of a picture under its mean colour. */
class Masker {
  private constructor(
    private readonly bitmap: ImageBitmap,
    readonly width: number,
    readonly height: number,
    private readonly mean: string,
  ) {}

  static async open(bytes: Uint8Array): Promise<Masker> {
    const bitmap = await createImageBitmap(new Blob([bytes as BlobPart]));
    const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
    const one = new OffscreenCanvas(1, 1).getContext("2d")!;
    one.imageSmoothingQuality = "high";
    one.drawImage(bitmap, 0, 0, 1, 1);
    const [red, green, blue] = one.getImageData(0, 0, 1, 1).data;
    return new Masker(bitmap, width, height, `rgb(${red} ${green} ${blue})`);
  }

  async hide(region: Region | undefined): Promise<Blob> {
    const canvas = new OffscreenCanvas(this.width, this.height);
    const context = canvas.getContext("2d")!;
    context.drawImage(this.bitmap, 0, 0, this.width, this.height);
    context.fillStyle = this.mean;
    if (region) context.fillRect(...this.pixels(region));
    return canvas.convertToBlob({ type: "image/png" });
  }

  pixels({ x, y, side }: Region): [x: number, y: number, width: number, height: number] {
    const left = Math.round(x * this.width);
    const top = Math.round(y * this.height);
    return [left, top, Math.round((x + side) * this.width) - left, Math.round((y + side) * this.height) - top];
  }

  /** Whether a half of a region is less than the model's patches resolve. */
  isTiny({ side }: Region): boolean {
    return (side / 2) * Math.min(this.width, this.height) < 14;
  }
}

function grid(): Region[] {
  const steps = [...Array(GRID).keys()];
  return steps.flatMap((row) => steps.map((column) => ({ x: column / GRID, y: row / GRID, side: 1 / GRID })));
}

function quarters({ x, y, side }: Region): Region[] {
  const half = side / 2;
  return [[0, 0], [1, 0], [0, 1], [1, 1]].map(([dx, dy]) => ({ x: x + dx! * half, y: y + dy! * half, side: half }));
}
