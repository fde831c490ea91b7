/** The look of the element. */

import { palette, VIEW_CSS } from "./view-style.js";

export const ELEMENT_CSS = `${palette(":host")}${VIEW_CSS}
:host { display: block; box-sizing: border-box; max-width: 40rem; padding: 1rem; border: 1px solid var(--cppo-line); border-radius: .75rem;
  background: var(--cppo-paper); color: var(--cppo-ink); font: 1rem/1.5 system-ui, sans-serif; }
:host([hidden]) { display: none; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.picture { display: grid; place-items: center; width: 100%; min-height: 9rem; margin: 0 0 .75rem; padding: .5rem; border: 1px dashed var(--cppo-line); border-radius: .5rem;
  background: none; color: var(--cppo-faint); font: inherit; cursor: pointer; }
.picture.over { border-color: var(--cppo-accent); }
.picture img { max-width: 100%; max-height: 18rem; border-radius: .3rem; }
.picture img.small { width: min(100%, 14rem); image-rendering: pixelated; }
form { display: flex; gap: .5rem; }
input[type=text] { flex: 1; min-width: 0; font: inherit; color: inherit; background: transparent; border: 1px solid var(--cppo-faint); border-radius: .5rem; padding: .45rem .7rem; }
button { font: inherit; }
.act { color: var(--cppo-paper); background: var(--cppo-accent); border: 0; border-radius: .5rem; padding: .45rem 1rem; cursor: pointer; font-weight: 600; }
:focus-visible { outline: 2px solid var(--cppo-accent); outline-offset: 2px; }
progress { width: 100%; accent-color: var(--cppo-accent); margin-top: .75rem; }
.status { color: var(--cppo-faint); font-size: .875rem; min-height: 1.5em; margin: .4rem 0; font-variant-numeric: tabular-nums; }
.error { color: var(--cppo-bad); margin: .4rem 0; }
.answer { min-height: 1.5em; }
.tokens { margin-top: .75rem; }
`;
