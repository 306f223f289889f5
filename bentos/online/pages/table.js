// Everyone: counts by activity, one row per subject, the ledger.

import {ago, byId, make, nowMs, percent, trouble, write} from "./access.js";
import {paint, swatch} from "./colours.js";
import {drawLedger} from "./ledger.js";

const rows = new Map(); // by subject: the row and its cells
let content = null;
let chosen = ""; // activity to filter by
let descending = false;
const MOVED_AT_ONCE = 50; // rows; with more of them out of place, all are placed anew

const FIRST = {subject: [(s) => s.subject, false], shown: [(s) => s.answer.shown, false],
  confidence: [(s) => s.answer.confidence, false], seen: [(s) => s.seen_us, true], silent: [(s) => s.seen_us, false],
  windows: [(s) => s.windows, true]};

export const isStale = (subject) => nowMs() - subject.seen_us / 1000 > 1000 * content.stale_s;

/** Listen to the controls. */
export function start() {
  byId("search").addEventListener("input", draw);
  byId("only").addEventListener("change", draw);
  byId("sort").addEventListener("change", () => { descending = false; draw(); });
  for (const head of document.querySelectorAll("#everyone th[data-sort]"))
    head.querySelector("button").addEventListener("click", () => {
      const sort = byId("sort");
      const same = sort.value === head.dataset.sort;
      descending = same && !descending;
      sort.value = head.dataset.sort;
      draw();
    });
}

/** Show what the service says of everyone. */
export function show(found) {
  content = found;
  draw();
}

/** Ages grow although nothing new comes. */
export function tick() {
  if (content && !byId("overview").hidden) draw();
}

function draw() {
  if (!content) return;
  drawCounts();
  const wanted = content.subjects.filter(isWanted);
  wanted.sort(order());
  const names = new Set(content.subjects.map((subject) => subject.subject));
  for (const [name, row] of rows) if (!names.has(name)) { row.element.remove(); rows.delete(name); }
  place(byId("everyone").tBodies[0], wanted.map((subject) => update(subject).element));
  drawHead();
  drawMatches(wanted.length);
  const total = content.ledger.total || content.ledger;
  byId("ledger").hidden = total.received === undefined;
  drawLedger(byId("balance"), total);
}

function isWanted(subject) {
  const text = byId("search").value.trim().toLowerCase();
  if (text && ![subject.subject, ...subject.devices.map((one) => one.device)].some((name) => name.toLowerCase().includes(text)))
    return false;
  if (chosen && subject.answer.shown !== chosen) return false;
  switch (byId("only").value) {
    case "fresh": return !isStale(subject);
    case "stale": return isStale(subject);
    case "unknown": return subject.answer.unknown;
    case "troubled": return subject.devices.some(trouble);
    default: return true;
  }
}

function order() {
  const [value, falling] = FIRST[byId("sort").value];
  const sign = falling !== descending ? -1 : 1;
  return (one, other) => {
    const [a, b] = [value(one), value(other)];
    const found = typeof a === "string" ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
    return sign * found || one.subject.localeCompare(other.subject, undefined, {numeric: true});
  };
}

/** Let these rows, and no others, stand in this order; what is in its place stays there, with its focus. */
function place(body, wanted) {
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const there = body.children;
  const strange = wanted.reduce((count, row, at) => count + (there[at] !== row), Math.abs(there.length - wanted.length));
  if (strange > MOVED_AT_ONCE) {
    body.replaceChildren(...wanted);
  } else if (strange) {
    let next = body.firstElementChild;
    for (const row of wanted) {
      if (row === next) next = next.nextElementSibling;
      else body.insertBefore(row, next);
    }
    while (next) { const gone = next; next = next.nextElementSibling; gone.remove(); }
  }
  if (focused && focused.isConnected && focused !== document.activeElement) focused.focus({preventScroll: true});
}

function update(subject) {
  const row = rows.get(subject.subject) || create(subject.subject);
  const {answer} = subject;
  const stale = isStale(subject);
  const key = `${answer.shown}|${answer.unknown}|${stale}`;
  if (row.key !== key) {
    row.key = key;
    row.element.classList.toggle("stale", stale);
    row.activity.replaceChildren(swatch(answer.shown, answer.unknown), make("span", {text: answer.shown}), row.small);
    if (answer.unknown) row.activity.append(make("span", {class: "mark", text: "unknown", title: "Unlike the training data"}));
    paint(row.meter, answer.shown);
  }
  const confidence = percent(answer.confidence);
  if (row.percent.textContent !== confidence) {
    row.percent.textContent = row.small.textContent = confidence;
    row.meter.firstChild.style.width = confidence.replace(" ", "");
  }
  write(row.heard, stale ? `${ago(subject.seen_us)}, stale` : ago(subject.seen_us));
  write(row.windows, subject.windows.toLocaleString("en"));
  const troubles = subject.devices.map((one) => [one.device, trouble(one)].filter(Boolean).join(": ")).join("; ");
  if (row.devices.textContent !== troubles) row.devices.textContent = row.devices.title = troubles;
  row.devices.classList.toggle("trouble", subject.devices.some(trouble));
  return row;
}

function create(name) {
  const row = {
    key: "",
    activity: make("div", {class: "activity"}),
    meter: make("span", {class: "meter", "aria-hidden": "true"}, make("i")),
    percent: make("span"),
    small: make("small", {class: "narrow quiet"}),
    heard: make("td"),
    windows: make("td", {class: "number wide"}),
    devices: make("td", {class: "wide"}),
  };
  const link = make("a", {href: `#/${encodeURIComponent(name)}`, text: name, title: name});
  row.element = make("tr", {},
    make("th", {scope: "row"}, link), make("td", {}, row.activity), make("td", {class: "mid"}, row.meter, row.percent),
    row.heard, row.windows, row.devices);
  rows.set(name, row);
  return row;
}

function drawCounts() {
  const counts = new Map();
  for (const subject of content.subjects) counts.set(subject.answer.shown, (counts.get(subject.answer.shown) || 0) + 1);
  const list = byId("counts");
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a.localeCompare(b));
  if (chosen && !counts.has(chosen)) names.push(chosen);
  const key = `${chosen}|${names.map((name) => `${name}=${counts.get(name) || 0}`).join("|")}`;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const focused = document.activeElement?.dataset?.activity;
  list.replaceChildren(...names.map((name) => {
    const button = make("button", {type: "button", "aria-pressed": String(name === chosen), "data-activity": name},
      swatch(name), make("span", {text: name}), make("b", {text: String(counts.get(name) || 0)}));
    button.addEventListener("click", () => { chosen = chosen === name ? "" : name; draw(); });
    return make("li", {}, button);
  }));
  if (focused !== undefined) [...list.querySelectorAll("button")].find((one) => one.dataset.activity === focused)?.focus();
}

function drawHead() {
  const sort = byId("sort").value;
  const [, falling] = FIRST[sort];
  for (const head of document.querySelectorAll("#everyone th[data-sort]")) {
    const active = head.dataset.sort === sort || (sort === "silent" && head.dataset.sort === "seen");
    if (!active) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", falling !== descending ? "descending" : "ascending");
  }
}

function drawMatches(matching) {
  const all = content.subjects.length;
  const stale = content.subjects.filter(isStale).length;
  const part = matching === all ? `${all} subject${all === 1 ? "" : "s"}` : `${matching} of ${all} subjects`;
  write(byId("matches"), all ? part + (stale ? `, ${stale} stale` : "") : "");
  byId("everyone").hidden = !matching;
  byId("nobody").hidden = matching > 0;
  write(byId("nobody"), all ? "Nobody matches." : "Nobody was heard of yet. Send samples to POST /samples, over MQTT or Kafka, and run har stream run.");
}
