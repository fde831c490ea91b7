/** The perception view as one picture. */

interface Sheet {
  question: string;
  pictures: HTMLImageElement[];
  tokens: { text: string; score: number; marked: boolean }[];
  summary: string;
}

const WIDTH = 900;
const MARGIN = 40;
const SIDE = 300;
const LINE = 46;
const FONT = "system-ui, sans-serif";

export async function drawSheet({ question, pictures, tokens, summary }: Sheet): Promise<Blob> {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(`--cppo-${name}`).trim();
  // Lines are laid out first, since they decide the height.
  const measure = new OffscreenCanvas(1, 1).getContext("2d")!;
  measure.font = `20px ${FONT}`;
  const places: { x: number; row: number; width: number }[] = [];
  let x = MARGIN;
  let row = 0;
  for (const { text } of tokens) {
    const width = measure.measureText(text).width;
    if (x + width > WIDTH - MARGIN && x > MARGIN) {
      x = MARGIN;
      row++;
    }
    places.push({ x, row, width });
    x += width + 10;
  }
  const top = 110 + SIDE;
  const canvas = new OffscreenCanvas(WIDTH, top + (row + 1) * LINE + 60);
  const context = canvas.getContext("2d")!;
  context.fillStyle = color("paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = color("ink");
  context.font = `600 24px ${FONT}`;
  context.fillText(question, MARGIN, 56, WIDTH - 2 * MARGIN);
  pictures.forEach((picture, place) => {
    const scale = SIDE / Math.max(picture.naturalWidth, picture.naturalHeight, 1);
    context.imageSmoothingEnabled = scale < 2;
    context.drawImage(picture, MARGIN + place * (SIDE + 24), 80, picture.naturalWidth * scale, picture.naturalHeight * scale);
  });
  context.font = `20px ${FONT}`;
  tokens.forEach(({ text, score, marked }, place) => {
    const { x: left, row: line, width } = places[place]!;
    const base = top + (line + 1) * LINE - 18;
    context.fillStyle = color("ink");
    context.fillText(text, left, base);
    context.fillStyle = color("accent");
    context.globalAlpha = 0.25 + 0.75 * score;
    context.fillRect(left, base + 6, width, 1 + 4 * score);
    context.globalAlpha = 1;
    context.strokeStyle = color("accent");
    if (marked) context.strokeRect(left - 3, base - 21, width + 6, 34);
  });
  context.fillStyle = color("faint");
  context.font = `15px ${FONT}`;
  context.fillText(summary, MARGIN, canvas.height - 24, WIDTH - 2 * MARGIN);
  return canvas.convertToBlob({ type: "image/png" });
}
