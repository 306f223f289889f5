// The page /label: shows one window after another, and stores each answer under an id of its own, so that an answer
// that is sent twice counts once.

const $ = (id) => document.getElementById(id);
const ACTIVITIES = JSON.parse(document.body.dataset.activities);
const RESERVED = {x: "unusable", q: "unsure", s: "skip", z: "undo"};
const KEYS = [..."123456789", ..."abcdefghijklmnoprtuvwy"];
const STEP_MS = 100;
const LEAST_MS = 200;
const RETRY_MS = 2000;

let view = null;
let range = null;
let busy = false;
let agreementAt = -1;
let labeller = localStorage.getItem("har-labeller") || "";

// --- talking to the service ---

async function ask(path, body) {
  const response = await fetch(path, body && {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
  });
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = content.error || {expected: "an answer", got: `status ${response.status}`, remedy: ""};
    throw Object.assign(new Error(`Expected ${error.expected}, but got ${error.got}. ${error.remedy}`), {status: response.status});
  }
  return content;
}

// Sends until the service has said yes or no: the id in the body makes a second sending harmless.
async function insist(path, body) {
  for (;;) {
    try {
      const answer = await ask(path, body);
      notice("");
      return answer;
    } catch (error) {
      if (error.status && error.status < 500 && error.status !== 429) throw error;
      notice(`Not stored yet: ${error.status ? error.message : "the service cannot be reached."} Trying again …`);
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }
}

async function step(path, body, after) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    show(await insist(path, {labeller, ...body}));
    if (after) say(after);
  } catch (error) {
    if (error.status === 401) return logIn();
    notice(error.message);
    if (error.status === 409 || error.status === 404) {
      try { show(await ask("label/next", {labeller})); } catch { show({...view, task: null, why: ""}); }
    }
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
}

const next = () => step("label/next", {});

function answer(verdict, activity) {
  if (!view?.task || busy) return;
  const body = {task: view.task.task, answer: view.answerId, verdict};
  if (verdict === "label") {
    Object.assign(body, {activity, start_us: view.task.start_us + Math.round(1000 * range[0]), end_us: view.task.start_us + Math.round(1000 * range[1])});
  }
  step("label/answers", body, verdict === "label" ? `${activity} ✓` : `${verdict} ✓`);
}

function skip() {
  if (view?.task) step("label/skip", {task: view.task.task}, "skipped");
}

function undo() {
  const last = view?.recent[0];
  if (last) step("label/undo", {answer: last.answer}, `taken back: ${last.activity || last.verdict}`);
}

// --- showing ---

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

let saying;
function say(text) {
  $("said").textContent = text;
  $("said").classList.add("shown");
  clearTimeout(saying);
  saying = setTimeout(() => $("said").classList.remove("shown"), 1500);
}

const time = (us, digits = 1) => new Date(us / 1000).toISOString().slice(11, 20 + digits);

function show(found) {
  view = {...found, answerId: `${Date.now().toString(36)}-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`};
  for (const id of ["naming", "login"]) $(id).hidden = true;
  $("who").hidden = false;
  $("who").textContent = labeller;
  $("who").setAttribute("aria-label", `You are ${labeller}; change it`);
  $("hint").hidden = view.counts || sessionStorage.getItem("har-hint") === "read";
  const {done, left, yours, per_hour} = view.progress;
  const rate = per_hour === null ? "" : ` · ${Math.round(per_hour)} per hour`;
  $("progress").textContent = done + left ? `${done} of ${done + left} done · ${yours} left for you${rate}` : "";
  const bar = $("progress-bar");
  bar.setAttribute("aria-valuemax", done + left);
  bar.setAttribute("aria-valuenow", done);
  bar.firstElementChild.style.width = `${done + left ? (100 * done) / (done + left) : 0}%`;
  $("undo").disabled = !view.recent.length;
  $("task").hidden = !view.task;
  $("done").hidden = !!view.task;
  if (view.task) showTask(view.task); else showDone();
  if (Math.abs(view.progress.answered - agreementAt) >= 5 || agreementAt < 0 || !view.task) showAgreement();
}

function showDone() {
  const {done, left} = view.progress;
  $("done-title").textContent = done + left ? "Nothing is left for you" : "No windows wait for labels";
  $("done-text").textContent = view.why || (left ? `${left} windows wait for somebody else.` : "All windows have their answers. har collect brings them into the lake.");
  $("undo-last").hidden = !view.recent.length;
}

async function showAgreement() {
  agreementAt = view.progress.answered;
  const found = await ask("label/agreement").catch(() => null);
  $("agreement").hidden = !found?.pairs.length;
  if (!found?.pairs.length) return;
  const kappa = (value) => (value === null ? "not defined" : value.toFixed(2));
  const disputed = found.disputed ? `, ${found.disputed} in dispute` : "";
  $("agreement-sum").textContent = `Agreement: κ ${kappa(found.kappa)} over ${found.windows} windows${disputed}`;
  $("agreement").querySelector("tbody").replaceChildren(...found.pairs.map((pair) => {
    const row = document.createElement("tr");
    const cells = [`${pair.first}, ${pair.second}`, pair.windows, `${Math.round((100 * pair.agreed) / pair.windows)} %`, kappa(pair.kappa)];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), {textContent: text})));
    return row;
  }));
}

function showTask(task) {
  $("question").textContent = `What is ${task.subject} doing?`;
  $("where").textContent = [task.date, `${time(task.start_us)} – ${time(task.end_us)} UTC`, `session ${task.session}`, task.place].filter(Boolean).join(" · ");
  $("why").textContent = task.people > 1 ? `${task.reason} Two people are asked about this window.` : task.reason;
  drawButtons(task);
  drawSignal(task);
  range = [0, length()];
  place();
}

function drawButtons(task) {
  const focused = $("activities").contains(document.activeElement);
  const sure = new Map(task.guesses);
  $("activities").replaceChildren(...ACTIVITIES.map((name, number) => {
    const button = element("button", {type: "button"});
    button.dataset.activity = name;
    if (KEYS[number]) {
      button.append(element("kbd", {textContent: KEYS[number]}));
      button.setAttribute("aria-keyshortcuts", KEYS[number]);
    }
    button.append(element("span", {textContent: name}));
    if (sure.has(name)) {
      const percent = Math.round(100 * sure.get(name));
      const bar = element("div", {className: "sure"});
      bar.style.width = `${percent}%`;
      button.append(element("em", {textContent: `${percent} %`, title: "the model's confidence"}), bar);
    }
    return button;
  }));
  if (focused) $("question").focus(); // the button that was pressed is gone
}

const element = (name, values) => Object.assign(document.createElement(name), values);
const SVG = "http://www.w3.org/2000/svg";

function shape(name, values) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  return made;
}

// One plot per unit: all its channels on one scale, times in ms from the window's start.
function plot(channels, from, to) {
  const values = channels.flatMap(({v}) => v).filter((value) => value !== null);
  let low = Math.min(...values), high = Math.max(...values);
  if (high - low < 0.5) [low, high] = [(low + high) / 2 - 0.25, (low + high) / 2 + 0.25];
  const margin = 0.05 * (high - low);
  const y = (value) => (100 * (high + margin - value)) / (high - low + 2 * margin);
  const svg = shape("svg", {viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true"});
  if (low < 0 && high > 0) svg.append(shape("line", {x1: 0, x2: 1000, y1: y(0), y2: y(0)}));
  channels.forEach(({t, v}, number) => {
    let path = "", pen = "M";
    t.forEach((at, index) => {
      if (v[index] === null) { pen = "M"; return; }
      path += `${pen}${((1000 * (at - from)) / (to - from)).toFixed(1)} ${y(v[index]).toFixed(2)}`;
      pen = "L";
    });
    svg.append(shape("path", {d: path, class: `c${number % 4}`}));
  });
  const made = element("div", {className: "plot"});
  const unit = channels[0].unit.replace("^2", "²");
  made.append(svg, element("span", {className: "top", textContent: `${high.toFixed(1)} ${unit}`}),
    element("span", {className: "bottom", textContent: low.toFixed(1)}));
  return made;
}

function drawSignal(task) {
  const {channels, detail} = task.signal;
  const context = $("context");
  for (const old of context.querySelectorAll(".plot")) old.remove();
  const units = [...new Set(channels.map(({unit}) => unit))];
  const groups = units.map((unit) => channels.filter((channel) => channel.unit === unit));
  context.append(...groups.map((group) => plot(group, from(), to())));
  context.querySelectorAll(".plot").forEach((made, index) => {
    const names = element("span", {className: "name"});
    names.append(...groups[index].map(({name}, number) => element("b", {className: `c${number % 4}`, textContent: name})));
    made.append(names);
  });
  const near = detail.t?.length ? [detail.t[0], detail.t[detail.t.length - 1]] : null;
  $("close-up").replaceChildren(...(near ? groups : []).map((group) => {
    const close = group.map((channel) => ({...channel, t: detail.t, v: detail.v[channels.indexOf(channel)]}));
    const made = plot(close, ...near);
    const asked = element("div", {className: "asked"});
    band(asked, 0, length(), ...near);
    made.append(asked, element("div", {className: "range"}), element("span", {className: "name", textContent: "close-up"}));
    made.near = near;
    return made;
  }));
  $("axis").replaceChildren(...[-30, -20, -10, 0, 10, 20, 30].map((second, index, all) => {
    const at = index < 3 ? from() + 10000 * index : index === 3 ? length() / 2 : to() - 10000 * (6 - index);
    const text = index === 3 ? time(task.start_us, -1) : `${second > 0 ? "+" : "−"}${Math.abs(second)} s`;
    const label = element("span", {textContent: text});
    label.style.left = `${share(at)}%`;
    if (Math.abs(second) === 20) label.className = "minor";
    return label;
  }));
  band($("asked"), 0, length(), from(), to());
}

const from = () => (view.task.from_us - view.task.start_us) / 1000;
const to = () => (view.task.to_us - view.task.start_us) / 1000;
const length = () => (view.task.end_us - view.task.start_us) / 1000;
const share = (ms) => (100 * (ms - from())) / (to() - from());

function band(made, start, end, low, high) {
  const at = (ms) => Math.min(100, Math.max(0, (100 * (ms - low)) / (high - low)));
  made.style.left = `${at(start)}%`;
  made.style.width = `${at(end) - at(start)}%`;
}

// --- the range ---

function place() {
  band($("range"), ...range, from(), to());
  for (const made of $("close-up").children) band(made.querySelector(".range"), ...range, ...made.near);
  const own = range[0] !== 0 || range[1] !== length();
  const seconds = range.map((ms) => (ms / 1000).toFixed(2));
  $("task").classList.toggle("own", own);
  $("ranged").textContent = own
    ? `Your range: ${time(view.task.start_us + 1000 * range[0])} – ${time(view.task.start_us + 1000 * range[1])}, ${((range[1] - range[0]) / 1000).toFixed(1)} s`
    : `Your range: the asked ${(length() / 1000).toFixed(1)} s. Drag over the signal for another one.`;
  $("reset").hidden = !own;
  ["range-start", "range-end"].forEach((id, index) => {
    $(id).setAttribute("aria-valuenow", seconds[index]);
    $(id).setAttribute("aria-valuemin", (from() / 1000).toFixed(2));
    $(id).setAttribute("aria-valuemax", (to() / 1000).toFixed(2));
    $(id).setAttribute("aria-valuetext", `${seconds[index]} s`);
  });
}

// The range keeps a part of the asked window: an answer about something else would answer nothing.
function move(edge, ms) {
  const inside = Math.min(LEAST_MS, length());
  if (edge === 0) range[0] = Math.round(Math.max(from(), Math.min(ms, range[1] - LEAST_MS, length() - inside)));
  else range[1] = Math.round(Math.min(to(), Math.max(ms, range[0] + LEAST_MS, inside)));
  place();
}

function reset() {
  if (!view?.task) return;
  range = [0, length()];
  place();
}

function dragging(event, begun) {
  const box = $("context").getBoundingClientRect();
  const at = ({clientX}) => from() + ((to() - from()) * (clientX - box.left)) / box.width;
  const anchor = at(event);
  let moved = false;
  const onMove = (moving) => {
    if (!moved && Math.abs(moving.clientX - event.clientX) < 4) return;
    moved = true;
    moving.preventDefault();
    begun(at(moving), anchor);
  };
  const onEnd = () => {
    removeEventListener("pointermove", onMove);
    removeEventListener("pointerup", onEnd);
    removeEventListener("pointercancel", onEnd);
  };
  addEventListener("pointermove", onMove);
  addEventListener("pointerup", onEnd);
  addEventListener("pointercancel", onEnd);
}

$("context").addEventListener("pointerdown", (event) => {
  if (event.button || !view?.task) return;
  const handle = event.target.closest(".handle");
  if (handle) {
    handle.focus();
    const edge = handle.id === "range-start" ? 0 : 1;
    dragging(event, (ms) => move(edge, ms));
  } else {
    dragging(event, (ms, anchor) => {
      range = [from(), to()];
      move(0, Math.min(ms, anchor));
      move(1, Math.max(ms, anchor));
    });
  }
});

for (const [edge, id] of ["range-start", "range-end"].entries()) {
  $(id).addEventListener("keydown", (event) => {
    const by = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10}[event.key];
    const whole = {Home: from(), End: to()}[event.key];
    if (by === undefined && whole === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(edge, whole ?? range[edge] + by * STEP_MS * (event.shiftKey || event.altKey ? 10 : 1));
  });
}

// --- keys and buttons ---

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.target.closest("input, summary")) return;
  if (event.key === "Escape") return reset();
  const key = event.key.toLowerCase();
  if (view?.task && (key === "arrowleft" || key === "arrowright")) {
    event.preventDefault();
    const edge = event.shiftKey ? 0 : 1;
    return move(edge, range[edge] + (key === "arrowright" ? 1 : -1) * STEP_MS * (event.altKey ? 10 : 1));
  }
  if (event.altKey || event.repeat || !view) return;
  if (key === "backspace") { event.preventDefault(); return undo(); }
  const act = RESERVED[key];
  if (act === "undo") return undo();
  if (!view.task) return;
  if (act === "skip") return skip();
  if (act) return answer(act);
  const activity = ACTIVITIES[KEYS.indexOf(key)];
  if (KEYS.includes(key) && activity) answer("label", activity);
});

$("activities").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) answer("label", button.dataset.activity);
});
for (const button of document.querySelectorAll("[data-verdict]")) button.addEventListener("click", () => answer(button.dataset.verdict));
$("skip").addEventListener("click", skip);
$("undo").addEventListener("click", undo);
$("undo-last").addEventListener("click", undo);
$("reset").addEventListener("click", reset);
$("again").addEventListener("click", next);

// --- who it is ---

function nameMe() {
  $("naming").hidden = false;
  $("task").hidden = $("done").hidden = true;
  $("name").value = labeller;
  $("name").focus();
}

$("who").addEventListener("click", nameMe);
$("naming").addEventListener("submit", (event) => {
  event.preventDefault();
  labeller = $("name").value.normalize("NFC").trim();
  if (!labeller) return;
  localStorage.setItem("har-labeller", labeller);
  $("naming").hidden = true;
  agreementAt = -1;
  next();
});

function logIn() {
  $("login").hidden = false;
  $("task").hidden = $("done").hidden = $("hint").hidden = true;
  $("token").focus();
}

$("give-token").addEventListener("click", logIn);
$("no-token").addEventListener("click", () => {
  sessionStorage.setItem("har-hint", "read");
  $("login").hidden = true;
  next();
});
$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  const response = await fetch("login", {method: "POST", headers: {Authorization: `Bearer ${token}`, "Content-Type": "application/json"}, body: "{}"}).catch(() => null);
  if (!response?.ok) return notice(response?.status === 401 ? "Nobody has this token." : "The service cannot be reached.");
  $("token").value = "";
  $("login").hidden = true;
  notice("");
  next();
});

if (labeller) next(); else nameMe();
