// A subject's day as a band: stretches of one activity from left to right, to be read by pointer or arrow keys.

import {byId, cleared, timeOf} from "./access.js";
import {onCanvas, resolve} from "./colours.js";

let about = null;
let day = null;
let stretches = []; // [start_us, end_us, activity, unknown]
let at = -1; // the stretch that the keyboard is on
let waiting = 0;

const HOUR_US = 3.6e9;

export function start(found) {
  about = found;
  day = null;
  stretches = [];
  at = -1;
  const canvas = byId("band");
  canvas.onpointermove = canvas.onpointerdown = (event) => {
    if (!day) return;
    const box = canvas.getBoundingClientRect();
    const [from, to] = extent();
    const us = from + (event.clientX - box.left) / box.width * (to - from);
    read(stretches.findIndex((one) => one[0] <= us && us < one[1]), us);
  };
  canvas.onpointerleave = () => read(-1);
  canvas.onkeydown = (event) => {
    const last = stretches.length - 1;
    const next = {ArrowLeft: at < 0 ? last : at - 1, ArrowRight: at + 1, Home: 0, End: last}[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    read(Math.min(last, Math.max(0, next)));
  };
  canvas.onblur = () => read(-1);
  read(-1);
  redraw();
}

/** The whole day. */
export function show(found) {
  day = found;
  stretches = found.stretches;
  byId("day-title").textContent = `Day: ${found.date}`;
  redraw();
}

/** The band from the first of these stretches on; what was there before is replaced. */
export function extend(found) {
  if (!day || !found.length) return;
  const from = found[0][0];
  const kept = stretches.filter((one) => one[0] < from).map((one) => [one[0], Math.min(one[1], from), one[2], one[3]]);
  const last = kept.at(-1);
  const [first, ...rest] = found;
  const joins = last && last[1] >= first[0] && last[2] === first[2] && last[3] === first[3];
  stretches = joins ? [...kept.slice(0, -1), [last[0], first[1], first[2], first[3]], ...rest] : [...kept, ...found];
  redraw();
}

export function redraw() {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(draw);
}

/** The hours that have something, at least three of them: a morning is not squeezed into a corner of 24 h. */
function extent() {
  if (!stretches.length) return [day.start_us, day.end_us];
  const from = day.start_us + Math.floor((stretches[0][0] - day.start_us) / HOUR_US) * HOUR_US;
  const to = day.start_us + Math.ceil((stretches.at(-1)[1] - day.start_us) / HOUR_US) * HOUR_US;
  return [Math.max(day.start_us, Math.min(from, to - 3 * HOUR_US)), Math.min(day.end_us, Math.max(to, from + 3 * HOUR_US))];
}

function draw() {
  const canvas = byId("band");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const pen = cleared(canvas);
  if (!pen) return;
  if (!day) return;
  const [from, to] = extent();
  const x = (us) => (us - from) / (to - from) * width;
  const top = 6, bottom = height - 20;
  for (const [begin, end, activity, unknown] of stretches) {
    const [left, right] = [x(begin), Math.max(x(end), x(begin) + 1)];
    pen.fillStyle = onCanvas(activity);
    pen.fillRect(left, top, right - left, bottom - top);
    if (unknown) { pen.fillStyle = resolve("var(--ink)"); pen.fillRect(left, bottom - 5, right - left, 3); }
  }
  pen.fillStyle = resolve("var(--quiet)");
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "center";
  const hours = (to - from) / HOUR_US;
  const step = [1, 2, 3, 6].find((one) => hours / one * 44 <= width) || 6;
  for (let us = from; us <= to + 1; us += HOUR_US) {
    if (Math.round((us - day.start_us) / HOUR_US) % step) continue;
    pen.fillRect(x(us) - .5, bottom, 1, 4);
    const text = us >= day.end_us ? "24:00" : timeOf(us, about.zone, false);
    pen.fillText(text, Math.min(width - 18, Math.max(18, x(us))), height - 4);
  }
  if (at >= 0 && stretches[at]) {
    pen.strokeStyle = resolve("var(--ink)");
    pen.lineWidth = 2;
    pen.strokeRect(x(stretches[at][0]), top - 3, Math.max(3, x(stretches[at][1]) - x(stretches[at][0])), bottom - top + 6);
  }
  describe();
}

function read(place, us) {
  at = place;
  const found = stretches[place];
  byId("band-text").textContent = found ? sentence(found) : us === undefined ? " " : `${timeOf(us, about.zone)}: nothing`;
  describe();
  redraw();
}

const sentence = ([begin, end, activity, unknown]) =>
  `${timeOf(begin, about.zone)} to ${timeOf(end, about.zone)}: ${activity}${unknown ? ", unlike the training data" : ""}`;

function describe() {
  const canvas = byId("band");
  canvas.setAttribute("aria-valuemin", "0");
  canvas.setAttribute("aria-valuemax", String(Math.max(0, stretches.length - 1)));
  canvas.setAttribute("aria-valuenow", String(Math.max(0, at)));
  canvas.setAttribute("aria-valuetext", stretches[at] ? sentence(stretches[at]) : `${stretches.length} stretches of activities`);
}
