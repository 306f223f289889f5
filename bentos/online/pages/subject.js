// One subject: present answer, signal, day, answers, devices; by a stream of events, or by asking where there is none.

import {ago, ask, byId, clock, learnClock, make, nowMs, percent, say, timeOf, write} from "./access.js";
import {paint, swatch} from "./colours.js";
import {drawLedger} from "./ledger.js";
import * as band from "./band.js";
import * as signal from "./signal.js";

const SHOWN_ANSWERS = 12;
const ASK_MS = 3000;

let name = "";
let about = null;
let state = null;
let source = null;
let timer = 0;
let answers = [];
let tell = () => {};

/** Show a subject; `report(problem)` is told what is wrong, or null. */
export function open(subject, found, report) {
  close();
  name = subject;
  about = found;
  tell = report;
  state = null;
  answers = [];
  byId("subject-title").textContent = subject;
  for (const id of ["now", "answers", "devices", "baseline"]) byId(id).replaceChildren();
  write(byId("heard"), "Loading …");
  takeLedger({});
  byId("minutes").tBodies[0].replaceChildren();
  signal.start(about);
  band.start(about);
  listen();
}

export function close() {
  source?.close();
  source = null;
  clearTimeout(timer);
  signal.stop();
  name = "";
}

/** Ages grow although nothing new comes. */
export function tick() {
  if (!state) return;
  const stale = isStale();
  write(byId("heard"), `Last heard ${ago(state.seen_us)}${stale ? ": this is no longer the present" : ""}`);
  byId("heard").classList.toggle("bad", stale);
  const mark = byId("now").querySelector(".mark.stale");
  if (stale && !mark) { byId("now").append(make("span", {class: "mark stale", text: "stale"})); say(`${state.subject} is stale`); }
  if (!stale) mark?.remove();
}

const isStale = () => nowMs() - state.seen_us / 1000 > 1000 * about.stale_s;

/** Streams end when nobody looks: each holds a place of the service. */
export function pause(hidden) {
  if (!name) return;
  source?.close();
  source = null;
  clearTimeout(timer);
  if (!hidden) listen();
}

function listen() {
  source = new EventSource(`subjects/${encodeURIComponent(name)}/live`);
  const on = (event, take) => source.addEventListener(event, (message) => take(JSON.parse(message.data)));
  on("state", (found) => { tell(null); takeState(found); });
  on("day", band.show);
  on("answers", (found) => { takeAnswers(found.answers); if (found.stretches) band.extend(found.stretches); });
  on("signal", signal.show);
  on("ledger", takeLedger);
  on("away", tell);
  source.addEventListener("open", () => tell(null));
  source.addEventListener("error", () => {
    if (!source || source.readyState !== EventSource.CLOSED) return tell({status: 0});
    source.close();
    source = null;
    askAgain();
  });
}

/** The service has no stream to give: ask, as often as is polite. */
async function askAgain() {
  const asked = name;
  try {
    const found = await ask(`subjects/${encodeURIComponent(asked)}`);
    if (asked !== name) return;
    tell(null);
    takeState(found);
    takeAnswers(found.answers);
    band.show(found.day);
    takeLedger(found.ledger);
    byId("no-signal").textContent = "No signal: the service has no stream left for this page, which asks every 3 s.";
  } catch (refused) {
    if (asked !== name) return;
    tell(refused);
    if (refused.status === 404 || refused.status === 401 || refused.status === 403) return;
  }
  timer = setTimeout(askAgain, ASK_MS);
}

function takeState(found) {
  learnClock(found.now_us);
  state = found;
  const {answer} = found;
  const text = `${answer.shown}|${answer.unknown}|${answer.confidence}`;
  if (byId("now").dataset.key !== text) {
    byId("now").dataset.key = text;
    const parts = [swatch(answer.shown, answer.unknown), make("span", {text: answer.shown}), make("small", {text: `confidence ${percent(answer.confidence)}`})];
    if (answer.abstained && answer.shown !== answer.activity) parts.push(make("small", {text: `perhaps ${answer.activity}`}));
    if (answer.unknown) parts.push(make("span", {class: "mark", text: "unknown", title: "Unlike the training data"}));
    byId("now").replaceChildren(...parts);
  }
  say(`${found.subject}: ${answer.shown}${answer.unknown ? ", unlike the training data" : ""}`);
  drawMinutes(found);
  drawDevices(found.devices);
  drawBaseline(found.baseline);
  tick();
}

function takeLedger(counts) {
  byId("messages").hidden = counts.received === undefined;
  drawLedger(byId("messages-balance"), counts);
}

function takeAnswers(found) {
  const starts = new Set(found.map((one) => one.start_us));
  const fresh = answers.length > 0;
  const known = new Set(answers.map((one) => one.start_us));
  answers = [...found, ...answers.filter((one) => !starts.has(one.start_us))].sort((a, b) => b.start_us - a.start_us).slice(0, SHOWN_ANSWERS);
  byId("answers").replaceChildren(...answers.map((one) => {
    const activity = make("div", {class: "activity"}, swatch(one.shown, one.unknown), make("span", {text: one.shown}));
    if (one.smoothed && one.smoothed !== one.activity) activity.append(make("small", {class: "quiet", text: `raw ${one.activity}`}));
    if (one.unknown) activity.append(make("span", {class: "mark", text: "unknown"}));
    const meter = paint(make("span", {class: "meter", "aria-hidden": "true"}, make("i")), one.shown);
    meter.firstChild.style.width = `${Math.round(100 * one.confidence)}%`;
    return make("li", fresh && !known.has(one.start_us) ? {class: "new"} : {},
      make("time", {text: timeOf(one.start_us, about.zone), class: "quiet"}), activity, make("span", {}, meter, percent(one.confidence)));
  }));
}

function drawMinutes(found) {
  const names = Object.keys(found.minutes).sort((a, b) => found.minutes[b] - found.minutes[a]);
  const total = names.reduce((sum, one) => sum + found.minutes[one], 0);
  const most = Math.max(...Object.values(found.minutes), 1e-9);
  byId("minutes").tBodies[0].replaceChildren(...names.map((one) => {
    const bar = paint(make("span", {class: "bar", "aria-hidden": "true"}), one);
    bar.style.width = `${100 * found.minutes[one] / most}%`;
    const share = make("td", {}, bar, make("span", {class: "hidden", text: percent(total ? found.minutes[one] / total : 0)}));
    return make("tr", {}, make("th", {scope: "row"}, make("div", {class: "activity"}, swatch(one), make("span", {text: one}))),
      share, make("td", {class: "number", text: minutes(found.minutes[one])}));
  }));
}

const minutes = (value) => value < 60 ? `${value.toFixed(1)} min` : `${Math.floor(value / 60)} h ${String(Math.round(value % 60)).padStart(2, "0")} min`;

function drawDevices(devices) {
  byId("devices").replaceChildren(...devices.map((one) => {
    const list = make("dl");
    const add = (title, value, bad) => list.append(make("dt", {text: title}), make("dd", {text: value, ...(bad ? {class: "trouble"} : {})}));
    add("heard", ago(one.seen_us));
    add("rate", `${one.rate_hz.toFixed(1)} Hz`);
    add("clock", clock(one), clock(one) !== "right");
    for (const count of ["missing", "late", "duplicates", "rejected"])
      add(count === "duplicates" ? "sent twice" : count, `${one[count].toLocaleString("en")} message${one[count] === 1 ? "" : "s"}`, one[count] > 0);
    const title = make("h4", {}, make("span", {text: one.device}), make("span", {class: "quiet", text: one.placement ? ` at the ${one.placement}` : ""}));
    return make("div", {class: "device"}, title, list);
  }));
  if (!devices.length) byId("devices").append(make("p", {class: "quiet", text: "None is known."}));
}

function drawBaseline(baseline) {
  const names = Object.keys(baseline || {}).sort();
  byId("baseline-title").hidden = byId("baseline").hidden = !names.length;
  byId("baseline").replaceChildren(...names.flatMap((one) => [make("dt", {text: one.replaceAll("_", " ")}),
    make("dd", {text: Number(baseline[one]).toLocaleString("en", {maximumSignificantDigits: 4})})]));
}
