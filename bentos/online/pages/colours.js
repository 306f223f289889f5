// Which colour an activity has, everywhere on the page and on every day: its place in the model's list decides.

const PALETTE = 12;
const SPECIAL = {uncertain: "--uncertain", "no signal": "--no-signal"};
let places = new Map();

/** Take the model's activities, in their order. */
export function learn(activities) {
  if (activities.length !== places.size || activities.some((name, place) => places.get(name) !== place))
    places = new Map(activities.map((name, place) => [name, place]));
}

/** A CSS colour: of the palette, or beyond it from the name, so that a model with other activities changes none. */
function css(activity) {
  if (SPECIAL[activity]) return `var(${SPECIAL[activity]})`;
  const place = places.get(activity);
  if (place !== undefined && place < PALETTE) return `var(--c${place})`;
  let hash = 0;
  for (const letter of activity) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return `hsl(${hash % 360} 45% 55%)`;
}

/** Let an element, and what is in it, have the activity's colour as --a. */
export function paint(element, activity) {
  element.style.setProperty("--a", css(activity));
  return element;
}

/** The same colour for a canvas, which knows no variables. */
export function onCanvas(activity) {
  return resolve(css(activity));
}

/** A CSS variable's value, or any other colour as it is. */
export function resolve(colour) {
  const found = /^var\((--[\w-]+)\)$/.exec(colour);
  return found ? getComputedStyle(document.documentElement).getPropertyValue(found[1]).trim() : colour;
}

/** A small square in the activity's colour; its name always stands beside it. */
export function swatch(activity, unknown) {
  const found = document.createElement("span");
  found.className = unknown ? "swatch odd" : "swatch";
  found.setAttribute("aria-hidden", "true");
  return paint(found, activity);
}
