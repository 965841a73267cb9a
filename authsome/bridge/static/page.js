// Progress without reloading: each line is sent by itself, and only what it changed is replaced. Without this file the
// same form works, with one page after the other. What comes back is the page, so there is nothing else to agree on.
"use strict";

const sheet = document.getElementById("sheet");
const USED = "input, .copy";
const WAITS = '.line:is([data-state="away"], [data-state="device"])';

function unfold(within) {
  for (const button of within.querySelectorAll("button.show")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const input = document.getElementById(button.getAttribute("aria-controls"));
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      button.setAttribute("aria-pressed", String(!shown));
      button.textContent = shown ? "Show" : "Hide";
    });
  }
  for (const button of within.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copies).textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.firstChild.data = "Copied";
        say("Copied");
      } catch {
        say("This browser does not let a page copy; mark the text and copy it");
      }
    });
  }
}

function collect(button, line) {
  const data = new URLSearchParams({ token: sheet.elements.token.value, act: button.value });
  for (const input of (line || sheet).querySelectorAll("input")) {
    if (input.name !== "token" && (input.type !== "checkbox" || input.checked)) data.set(input.name, input.value);
  }
  return data;
}

function say(text) {
  document.getElementById("said").textContent = text.replace(/\s+/g, " ").trim();
}

// The provider's own page; the server has looked at the address, and this looks again.
function leads(answer) {
  const onward = answer.getElementById("onward");
  if (!onward || !onward.href.startsWith("https://")) return false;
  say("Going on to the provider");
  location.assign(onward.href);
  return true;
}

function show(answer, line) {
  const closed = answer.querySelector("[data-closed]");
  if (closed) {
    document.title = answer.title;
    document.getElementById("content").replaceWith(closed);
    closed.querySelector("h1").tabIndex = -1;
    closed.querySelector("h1").focus();
    return;
  }
  if (leads(answer)) return;
  const replaced = line ? [line] : [...sheet.querySelectorAll(".line")];
  let first = null;
  for (const old of replaced) {
    const fresh = answer.getElementById(old.id);
    if (!fresh) continue;
    old.replaceWith(fresh);
    unfold(fresh);
    if (!first && ["wrong", "doubt"].includes(fresh.dataset.state)) first = fresh;
  }
  around(answer);
  const next = first || (line && document.getElementById(line.id).dataset.state === "open"
    ? document.getElementById(line.id) : sheet.querySelector('.line:not([data-state="stored"], [data-state="skipped"])'));
  // Not on a button that decides: who has pressed Enter once may press it twice.
  reach(next);
  tell(document.getElementById((first || line || replaced[0]).id));
}

function reach(line) {
  const fields = line ? [...line.querySelectorAll(USED)].filter((each) => each.checkVisibility()) : [];
  const target = line ? line.querySelector(".said[tabindex]") || fields[0] || line.querySelector("h2") : document.querySelector("#end .main");
  if (target.tagName === "H2") target.tabIndex = -1;
  target.focus();
}

function around(answer) {
  document.title = answer.title;
  document.getElementById("end").replaceChildren(...answer.getElementById("end").childNodes);
  document.getElementById("progress").replaceChildren(...answer.getElementById("progress").childNodes);
}

function tell(line) {
  const what = line.querySelector(".said, .result, .steps, .waits") || { textContent: "" };
  say(`${line.querySelector("h2").textContent}: ${what.textContent}`);
}

// What happens elsewhere shows by itself: in a line that waits for it, and in no other, where somebody may be typing.
let watching = 0;
let looking = null;
let sent = 0;

function watch() {
  clearTimeout(watching);
  if (!sent && sheet.isConnected && sheet.querySelector(WAITS)) watching = setTimeout(look, 2000);
}

async function look() {
  clearTimeout(watching);
  if (sent || !sheet.isConnected || !sheet.querySelector(WAITS)) return;
  looking = new AbortController();
  try {
    const response = await fetch(sheet.getAttribute("action"), { signal: looking.signal });
    const answer = new DOMParser().parseFromString(await response.text(), "text/html");
    if (response.ok) renew(answer);
    else document.getElementById("content").replaceChildren(...answer.body.childNodes);
  } catch (error) {
    if (error.name !== "AbortError") lose("This page has ended. The terminal says what became of it.");
  }
  watch();
}

// While something is sent, what it answers counts: it may be the last thing that there is to see.
function holds() {
  sent += 1;
  clearTimeout(watching);
  if (looking) looking.abort();
}

function frees() {
  sent -= 1;
  watch();
}

function renew(answer) {
  if (answer.querySelector("[data-closed]")) return show(answer, null);
  for (const old of sheet.querySelectorAll(WAITS)) {
    const fresh = answer.getElementById(old.id);
    if (!fresh || fresh.dataset.step === old.dataset.step || old.getAttribute("aria-busy")) continue;
    const focused = old.contains(document.activeElement);
    old.replaceWith(fresh);
    unfold(fresh);
    around(answer);
    tell(fresh);
    if (focused) reach(fresh);
  }
}

function lose(words) {
  const lost = document.createElement("p");
  lost.setAttribute("role", "alert");
  lost.textContent = words;
  document.getElementById("content").replaceChildren(lost);
}

async function send(button) {
  // A login that leaves the page takes along all that was typed on it.
  const line = "leaves" in button.dataset ? null : button.closest(".line");
  const data = collect(button, line);
  const busy = line || sheet;
  busy.setAttribute("aria-busy", "true");
  button.disabled = true;
  say("Checking");
  holds();
  try {
    const response = await fetch(sheet.getAttribute("action"), { method: "POST", body: data, redirect: "follow" });
    const answer = new DOMParser().parseFromString(await response.text(), "text/html");
    if (response.ok) show(answer, line);
    else document.getElementById("content").replaceChildren(...answer.body.childNodes);
  } catch {
    lose("authsome does not answer any more. The terminal says why.");
  } finally {
    busy.removeAttribute("aria-busy");
    button.disabled = false;
    frees();
  }
}

if (sheet) {
  unfold(sheet);
  watch();
  document.addEventListener("visibilitychange", look);
  // Back from the provider by the browser's own button: what the page was before is not what it is now.
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
  sheet.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.submitter);
  });
  // Enter means the line it is typed in, not the first button of the form.
  sheet.addEventListener("keydown", (event) => {
    const line = event.target.closest(".line");
    if (event.key !== "Enter" || event.target.tagName !== "INPUT" || !line) return;
    event.preventDefault();
    const own = event.target.name.startsWith("returned-") ? "returned-" : "go-";
    const button = line.querySelector(`button[value^="${own}"], button[value^="store-"]`) || sheet.querySelector(".main");
    if (button && !button.disabled) send(button);
  });
}
