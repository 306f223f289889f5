// Asking the service: who may, what it says when it cannot, and small helpers that all parts of the page use.

/** What the service refused, or that it did not answer (status 0). */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.got || "no answer");
    this.status = status;
    this.error = error;
  }
}

/** The JSON of an address; throws Refused. */
export async function ask(path, options = {}) {
  let answer, content;
  try {
    answer = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(10000), ...options});
    content = await answer.json();
  } catch {
    throw new Refused(answer && !answer.ok ? answer.status : 0, null);
  }
  if (!answer.ok) throw new Refused(answer.status, content.error);
  return content;
}

/** Begin a visit with a token, which the page forgets at once: the service sets a cookie that no script can read. */
export async function signIn(token) {
  await ask("login", {method: "POST", headers: {Authorization: `Bearer ${token}`}});
  localStorage.setItem("har-signed-in", "yes");
}

export async function signOut() {
  localStorage.removeItem("har-signed-in");
  await ask("logout", {method: "POST"});
}

export const isSignedIn = () => localStorage.getItem("har-signed-in") === "yes";

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a text never becomes HTML. */
export function make(tag, values = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name === "text") found.textContent = value;
    else found.setAttribute(name, value);
  }
  found.append(...children);
  return found;
}

/** Write a text only if it is another one: nothing is laid out again, and nothing is read out again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Milliseconds by which the service's clock is ahead of this browser's. */
let ahead = 0;
export function learnClock(nowUs) { ahead = nowUs / 1000 - Date.now(); }
export const nowMs = () => Date.now() + ahead;

/** "3 min ago", of µs since 1970. */
export function ago(us) {
  const seconds = Math.max(0, (nowMs() - us / 1000) / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

const clocks = new Map();
/** Time of day in the project's zone. */
export function timeOf(us, zone, withSeconds = true) {
  const key = `${zone}|${withSeconds}`;
  if (!clocks.has(key)) {
    const parts = {hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone};
    clocks.set(key, new Intl.DateTimeFormat("en-GB", withSeconds ? {...parts, second: "2-digit"} : parts));
  }
  return clocks.get(key).format(us / 1000);
}

export const percent = (share) => `${Math.round(100 * share)} %`;

let lastSaid = "";
/** Tell a screen reader, once. */
export function say(text) {
  if (text === lastSaid) return;
  lastSaid = text;
  byId("said").textContent = text;
}

/** A difference below this is the way of the message. */
const WRONG_S = 2;

/** What is wrong with a device, in words; "" if nothing is. */
export function trouble(device) {
  const found = [];
  for (const count of ["missing", "late", "duplicates", "rejected"])
    if (device[count]) found.push(`${device[count]} ${count === "duplicates" ? "twice" : count}`);
  if (Math.abs(device.clock_skew_s) >= WRONG_S) found.push(`clock ${clock(device)}`);
  return found.join(", ");
}

/** A device's clock: "right", or "4 min behind"; its samples are older than their arrival, or newer. */
export function clock(device) {
  const seconds = Math.abs(device.clock_skew_s);
  if (seconds < WRONG_S) return "right";
  const [one, unit] = seconds < 120 ? [1, "s"] : seconds < 7200 ? [60, "min"] : seconds < 172800 ? [3600, "h"] : [86400, "d"];
  return `${Math.round(seconds / one)} ${unit} ${device.clock_skew_s > 0 ? "behind" : "ahead"}`;
}

/** The pen of an empty canvas, in CSS pixels; null where the canvas is not shown. */
export function cleared(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return null;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}
