// What became of messages: received = scored + waiting + late + duplicate + rejected.

import {make} from "./access.js";

const FATES = ["scored", "waiting", "late", "duplicate", "rejected"];
const figures = (count) => count.toLocaleString("en");

/** Write the equation into an element, and whether it holds. */
export function drawLedger(element, counts) {
  if (counts?.received === undefined) return element.replaceChildren();
  const key = JSON.stringify(counts);
  if (element.dataset.key === key && element.firstChild) return;
  element.dataset.key = key;
  const part = (name, sign) => [
    ...(sign ? [make("span", {"aria-hidden": "true", text: sign})] : []),
    make("div", {}, make("b", {text: figures(counts[name] || 0)}), make("small", {text: name})),
  ];
  const missing = counts.received - FATES.reduce((sum, fate) => sum + (counts[fate] || 0), 0);
  const verdict = make("div", {class: "verdict"}, missing === 0
    ? make("span", {class: "good", text: "✓ It balances."})
    : make("span", {class: "bad", text: missing > 0 ? `${figures(missing)} without a fate` : `${figures(-missing)} too many`}));
  if (counts.windows !== undefined)
    verdict.append(make("small", {text: `${figures(counts.samples || 0)} samples, ${figures(counts.windows)} windows`}));
  element.replaceChildren(...part("received", ""), ...FATES.flatMap((fate, place) => part(fate, place ? "+" : "=")), verdict);
}
