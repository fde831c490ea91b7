/** The views of the element, for pages that arrange them differently. */

export { AnswerView } from "./answer-view.js";
export { describeToken, selectTokens, signed, toCsv, visible, type Selection } from "./perception.js";
export { split, type Parts } from "./text.js";
export { TokenEvent, TokenView } from "./token-view.js";
export { bytesText, passesText, progressText, secondsText, speedText } from "./format.js";
export { palette, VIEW_CSS } from "./view-style.js";
