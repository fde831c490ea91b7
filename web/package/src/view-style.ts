/** The look of both views; colours come from custom properties, with a light and a dark default. */

export const VIEW_CSS = `
.cppo-tokens { white-space: pre-wrap; line-height: 2.2; font-size: 1.0625em; overflow-wrap: anywhere; }
.cppo-token { border-radius: .2em; cursor: pointer; outline-offset: 1px; }
.cppo-token:focus-visible { outline: 2px solid var(--cppo-accent); }
.cppo-mark { border-radius: .2em; padding: .12em .08em; text-decoration: underline solid; text-underline-offset: .3em;
  text-decoration-skip-ink: none; text-decoration-thickness: calc(1px + var(--score) * 4px);
  text-decoration-color: color-mix(in srgb, var(--cppo-accent) calc(25% + var(--score) * 75%), transparent); }
.cppo-token.falls .cppo-mark { text-decoration: underline dotted 2px var(--cppo-cool); }
.cppo-token.selected .cppo-mark { background: color-mix(in srgb, var(--cppo-accent) 14%, transparent);
  box-shadow: 0 0 0 1px color-mix(in srgb, var(--cppo-accent) 70%, transparent); }
.cppo-token[aria-selected=true] .cppo-mark { background: color-mix(in srgb, var(--cppo-accent) 30%, transparent); }
.cppo-token.special { font: .8em ui-monospace, monospace; color: var(--cppo-faint); }
.cppo-detail { min-height: 9.5em; margin-top: .75em; }
.cppo-detail p { margin: 0; }
.cppo-detail-head b { font-size: 1.15em; }
.cppo-numbers { color: var(--cppo-faint); font-variant-numeric: tabular-nums; font-size: .875em; }
.cppo-candidates { display: grid; grid-template-columns: repeat(auto-fit, minmax(15em, 1fr)); gap: .5em 2em; margin-top: .5em; }
.cppo-candidates table { border-collapse: collapse; width: 100%; font-size: .875em; }
.cppo-candidates caption { text-align: start; color: var(--cppo-faint); padding-bottom: .2em; }
.cppo-candidates th { text-align: start; font-weight: 400; width: 7em; max-width: 7em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cppo-candidates .chosen th { font-weight: 650; }
.cppo-candidates td, .cppo-candidates th { padding: .1em .4em .1em 0; }
.cppo-percent { text-align: end; width: 5em; white-space: nowrap; font-variant-numeric: tabular-nums; }
.cppo-bar span { display: block; height: .6em; border-radius: .3em; width: max(2px, calc(var(--share) * 100%)); background: var(--cppo-faint); }
.chosen .cppo-bar span { background: var(--cppo-accent); }
.cppo-think { color: var(--cppo-faint); margin-bottom: .5em; }
.cppo-think summary { cursor: pointer; width: fit-content; }
.cppo-think div { white-space: pre-wrap; border-inline-start: 2px solid var(--cppo-line); padding-inline-start: .75em; margin-top: .35em; overflow-wrap: anywhere; }
.cppo-body p { margin: 0 0 .5em; white-space: pre-wrap; overflow-wrap: anywhere; }
.cppo-body p:last-child { margin-bottom: 0; }
.cppo-body .cppo-heading { font-weight: 650; }
.cppo-body .cppo-item { padding-inline-start: 1.2em; text-indent: -1.2em; }
.cppo-body pre { overflow-x: auto; padding: .6em .8em; border-radius: .4em; background: color-mix(in srgb, var(--cppo-faint) 12%, transparent); }
.cppo-display { display: block; margin: .4em 0; }
.cppo-boxed { display: inline-block; font-size: 1.5em; font-weight: 650; line-height: 1.3; padding: .05em .5em; border: 2px solid var(--cppo-accent); border-radius: .35em; }
`;

/** The colours, for a root selector. */
export const palette = (selector: string): string => `
${selector} { --cppo-ink: #1f1d1b; --cppo-paper: #fdfcfa; --cppo-faint: #65605a; --cppo-line: #dcd7d0; --cppo-accent: #b4541a; --cppo-cool: #2b6a94; --cppo-bad: #a3261b; color-scheme: light; }
@media (prefers-color-scheme: dark) {
  ${selector} { --cppo-ink: #ece8e3; --cppo-paper: #171614; --cppo-faint: #a8a199; --cppo-line: #3b3733; --cppo-accent: #f0965c; --cppo-cool: #7db8de; --cppo-bad: #ff8f80; color-scheme: dark; }
}
`;
