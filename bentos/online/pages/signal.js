// The last seconds of a subject's samples: one plot per unit, a line per axis, moving with the device's time.

import {byId, cleared, make, timeOf} from "./access.js";
import {resolve} from "./colours.js";

const SHOWN_US = 10e6;
const BEHIND_US = 0.8e6; // the picture is so much late, so that it can move evenly between two messages
const FRAME_MS = 33;
const COLOURS = ["var(--x)", "var(--y)", "var(--z)", "var(--c4)", "var(--c7)", "var(--c10)"];
const still = matchMedia("(prefers-reduced-motion: reduce)");

let about = null;
let plots = []; // canvas, unit, channels: [index, name]
let latest = null;
let edge = 0; // µs at the right edge when `latest` came
let arrived = 0;
let drawn = 0;
let running = 0;
let described = -Infinity;

export function start(found) {
  about = found;
  latest = null;
  edge = 0;
  described = -Infinity;
  const units = [...new Set(about.units)];
  plots = units.map((unit) => {
    const channels = about.channels.map((name, index) => [index, name]).filter(([index]) => about.units[index] === unit);
    const legend = make("p", {class: "legend"}, ...channels.map(([, name], place) => {
      const line = make("i");
      line.style.setProperty("--a", COLOURS[place % COLOURS.length]);
      return make("span", {}, line, name);
    }), make("span", {text: `in ${unit.replace("^2", "²")}`}));
    const canvas = make("canvas", {role: "img", "aria-label": `${channels.map(([, name]) => name).join(", ")}: no signal yet`});
    return {unit, channels, canvas, element: make("div", {class: "plot"}, legend, canvas), low: 0, high: 0};
  });
  byId("plots").replaceChildren(...plots.map((plot) => plot.element));
  byId("plots").hidden = true;
  byId("no-signal").hidden = false;
  byId("no-signal").textContent = "No signal has come yet.";
}

export function stop() {
  cancelAnimationFrame(running);
  running = 0;
}

/** The last seconds: `times_us`, and `values` by channel. */
export function show(found) {
  const now = performance.now();
  const newest = found.times_us.at(-1);
  // The edge goes on from where it is; if it is far off, it jumps.
  const expected = edge + 1000 * (now - arrived);
  edge = latest && Math.abs(newest - BEHIND_US - expected) < 1e6 ? expected + 0.2 * (newest - BEHIND_US - expected) : newest - BEHIND_US;
  arrived = now;
  latest = found;
  byId("plots").hidden = false;
  byId("no-signal").hidden = true;
  if (still.matches) draw(newest);
  else if (!running) running = requestAnimationFrame(frame);
}

function frame(now) {
  running = requestAnimationFrame(frame);
  if (!latest || now - drawn < FRAME_MS) return;
  drawn = now;
  draw(Math.min(edge + 1000 * (now - arrived), latest.times_us.at(-1)));
}

export function redraw() {
  if (latest && still.matches) draw(latest.times_us.at(-1));
}

function draw(right) {
  for (const plot of plots) drawPlot(plot, right);
  if (performance.now() - described > 5000) { described = performance.now(); plots.forEach(describe); }
}

function drawPlot(plot, right) {
  const {canvas, channels} = plot;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const pen = cleared(canvas);
  if (!pen) return;
  const times = latest.times_us, left = right - SHOWN_US;
  const [low, high] = scale(plot);
  const x = (us) => (us - left) / SHOWN_US * width;
  const y = (value) => 8 + (high - value) / (high - low) * (height - 30);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = pen.strokeStyle = resolve("var(--quiet)");
  pen.lineWidth = 1;
  pen.globalAlpha = .35;
  if (low < 0 && high > 0) { pen.beginPath(); pen.moveTo(0, y(0)); pen.lineTo(width, y(0)); pen.stroke(); }
  const every = width < 500 ? 4e6 : 2e6;
  const ticks = [];
  for (let us = Math.ceil(left / every) * every; us <= right; us += every) {
    pen.beginPath(); pen.moveTo(x(us), 8); pen.lineTo(x(us), height - 22); pen.stroke();
    ticks.push(us);
  }
  pen.globalAlpha = 1;
  pen.textAlign = "center";
  for (const us of ticks) if (x(us) > 26 && x(us) < width - 26) pen.fillText(timeOf(us, about.zone), x(us), height - 6);
  const gap = 3 * median(times);
  pen.lineWidth = 1.6;
  pen.lineJoin = "round";
  channels.forEach(([index], place) => {
    const values = latest.values[index];
    pen.strokeStyle = resolve(COLOURS[place % COLOURS.length]);
    pen.beginPath();
    let before = -Infinity;
    for (let i = 0; i < times.length; i++) {
      if (times[i] < left - 2e5 || times[i] > right) continue;
      if (times[i] - before > gap) pen.moveTo(x(times[i]), y(values[i]));
      else pen.lineTo(x(times[i]), y(values[i]));
      before = times[i];
    }
    pen.stroke();
  });
  pen.textAlign = "left";
  for (const [value, bottom] of [[high, 16], [low, height - 25]]) {
    pen.fillStyle = resolve("var(--raised)");
    pen.fillRect(2, bottom - 12, pen.measureText(label(value)).width + 6, 16);
    pen.fillStyle = resolve("var(--quiet)");
    pen.fillText(label(value), 5, bottom);
  }
}

/** The values' span, which widens at once and narrows slowly, so that the picture does not jump. */
function scale(plot) {
  let [low, high] = [Infinity, -Infinity];
  for (const [index] of plot.channels)
    for (const value of latest.values[index]) { if (value < low) low = value; if (value > high) high = value; }
  const room = Math.max(0.1 * (high - low), 0.05 * Math.max(Math.abs(low), Math.abs(high)), 0.1);
  low -= room; high += room;
  const fresh = plot.low === plot.high;
  plot.low = fresh || low < plot.low ? low : plot.low + 0.02 * (low - plot.low);
  plot.high = fresh || high > plot.high ? high : plot.high + 0.02 * (high - plot.high);
  return [plot.low, plot.high];
}

const label = (value) => Math.abs(value) >= 10 ? value.toFixed(0) : value.toFixed(1);

function median(times) {
  const steps = [];
  for (let i = 1; i < times.length; i++) steps.push(times[i] - times[i - 1]);
  return steps.sort((a, b) => a - b)[steps.length >> 1] || SHOWN_US;
}

function describe(plot) {
  const parts = plot.channels.map(([index, name]) => {
    const values = latest.values[index];
    return `${name} from ${label(Math.min(...values))} to ${label(Math.max(...values))}`;
  });
  const seconds = Math.round((latest.times_us.at(-1) - latest.times_us[0]) / 1e6);
  plot.canvas.setAttribute("aria-label", `The last ${seconds} s in ${plot.unit}: ${parts.join(", ")}`);
}
