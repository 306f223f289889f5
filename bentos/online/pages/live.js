// The page /live: who is shown, and what is said when the service, its store or its consumer is away.

import {ago, ask, byId, isSignedIn, learnClock, nowMs, say, signIn, signOut, write} from "./access.js";
import {learn} from "./colours.js";
import * as band from "./band.js";
import * as signal from "./signal.js";
import * as subject from "./subject.js";
import * as table from "./table.js";

const ASK_MS = 2000;
const CONSUMER_STALE_S = 120; // with many subjects, a consumer reports less often

let about = null;
let shown = ""; // the subject; "": everyone
let asked = 0; // when everyone was last heard of, by this browser
let timer = 0;

/** Which part of the page is seen. */
function see(part) {
  for (const id of ["signin", "overview", "subject"]) byId(id).hidden = id !== part;
}

function notice(text, bad = false) {
  const box = byId("notice");
  box.hidden = !text;
  box.classList.toggle("bad", bad);
  write(box, text);
  if (text) say(text);
}

/** What is wrong, in a sentence; null: nothing. */
function report(problem) {
  if (!problem) return notice(stoppedConsumer());
  if (problem.status === 401) return askForToken();
  const {error} = problem;
  if (problem.status === 0) return notice(`The service does not answer${asked ? `; what is shown is from ${ago(1000 * (asked + nowMs() - Date.now()))}` : ""}. Trying again …`, true);
  const found = error || problem;
  notice(`${found.expected ? `Expected ${found.expected}, but got ${found.got}. ` : ""}${found.remedy || ""}`, true);
}

let ledger = {};
function stoppedConsumer() {
  const us = ledger.reported_us;
  if (!Object.keys(ledger).length) return "No consumer has reported yet: samples wait until one runs. Start it: har stream run.";
  if (us && nowMs() - us / 1000 > 1000 * CONSUMER_STALE_S) return `No consumer runs: the last one reported ${ago(us)}. Start it: har stream run.`;
  return "";
}

function askForToken() {
  subject.close();
  clearTimeout(timer);
  notice("");
  see("signin");
  write(byId("updated"), "");
  byId("token").focus();
}

async function askForEveryone() {
  clearTimeout(timer);
  try {
    const found = await ask("subjects");
    const first = !about;
    about = found;
    ledger = found.ledger;
    asked = Date.now();
    learnClock(found.now_us);
    learn(found.activities);
    byId("logout").hidden = !isSignedIn();
    if (!shown) {
      see("overview");
      table.show(found);
      report(null);
    } else if (first) {
      openSubject();
    }
  } catch (refused) {
    if (!refused.status && !("error" in refused)) throw refused;
    report(refused);
    if (refused.status === 401) return;
  }
  if (!document.hidden) timer = setTimeout(askForEveryone, shown ? 5 * ASK_MS : ASK_MS);
}

async function route() {
  shown = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  document.title = shown ? `${shown}: activities` : "Now: activities";
  subject.close();
  if (shown && about) openSubject();
  else await askForEveryone();
}

function openSubject() {
  see("subject");
  subject.open(shown, about, report);
  scrollTo(0, 0);
  byId("subject-title").focus({preventScroll: true});
}

function tick() {
  if (document.hidden) return;
  if (shown) subject.tick();
  else table.tick();
  if (about) write(byId("updated"), Date.now() - asked < 4 * ASK_MS || shown ? `Times in ${about.zone}` : `Last answer ${ago(1000 * (asked + nowMs() - Date.now()))}`);
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("token");
  write(byId("login-error"), "");
  try {
    await signIn(field.value.trim());
    field.value = "";
    await route();
    byId("main").focus();
  } catch (refused) {
    write(byId("login-error"), refused.status === 401 ? "The service does not know this token." : refused.error?.remedy || "The service does not answer.");
  }
});
byId("logout").addEventListener("click", async () => {
  await signOut();
  location.reload();
});
document.addEventListener("visibilitychange", () => {
  subject.pause(document.hidden);
  if (!document.hidden) askForEveryone();
});
addEventListener("hashchange", route);
addEventListener("resize", () => { band.redraw(); signal.redraw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { band.redraw(); signal.redraw(); });
setInterval(tick, 1000);
table.start();
route();
