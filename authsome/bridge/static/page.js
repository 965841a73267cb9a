// Progress without reloading: each line is sent by itself, and only what it changed is replaced. Without this file the
// same form works, with one page after the other. What comes back is the page, so there is nothing else to agree on.
"use strict";

const sheet = document.getElementById("sheet");

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

function show(answer, line) {
  const closed = answer.querySelector("[data-closed]");
  if (closed) {
    document.title = answer.title;
    document.getElementById("content").replaceWith(closed);
    closed.querySelector("h1").tabIndex = -1;
    closed.querySelector("h1").focus();
    return;
  }
  const replaced = line ? [line] : [...sheet.querySelectorAll(".line")];
  let first = null;
  for (const old of replaced) {
    const fresh = answer.getElementById(old.id);
    if (!fresh) continue;
    old.replaceWith(fresh);
    unfold(fresh);
    if (!first && ["wrong", "doubt"].includes(fresh.dataset.state)) first = fresh;
  }
  document.title = answer.title;
  document.getElementById("end").replaceChildren(...answer.getElementById("end").childNodes);
  document.getElementById("progress").replaceChildren(...answer.getElementById("progress").childNodes);
  const next = first || (line && document.getElementById(line.id).dataset.state === "open"
    ? document.getElementById(line.id) : sheet.querySelector('.line:not([data-state="stored"], [data-state="skipped"])'));
  // Not on a button that decides: who has pressed Enter once may press it twice.
  const target = next && (next.querySelector(".said[tabindex]") || next.querySelector("input"));
  (target || sheet.querySelector(".main")).focus();
  const told = document.getElementById((first || line || replaced[0]).id);
  say(`${told.querySelector("h2").textContent}: ${(told.querySelector(".said, .result") || { textContent: "" }).textContent}`);
}

async function send(button) {
  const line = button.closest(".line");
  const data = collect(button, line);
  const busy = line || sheet;
  busy.setAttribute("aria-busy", "true");
  button.disabled = true;
  say("Checking");
  try {
    const response = await fetch(sheet.getAttribute("action"), { method: "POST", body: data, redirect: "follow" });
    const answer = new DOMParser().parseFromString(await response.text(), "text/html");
    if (response.ok) show(answer, line);
    else document.getElementById("content").replaceChildren(...answer.body.childNodes);
  } catch {
    const lost = document.createElement("p");
    lost.setAttribute("role", "alert");
    lost.textContent = "authsome does not answer any more. The terminal says why.";
    document.getElementById("content").replaceChildren(lost);
  } finally {
    busy.removeAttribute("aria-busy");
    button.disabled = false;
  }
}

if (sheet) {
  unfold(sheet);
  sheet.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.submitter);
  });
  // Enter means the line it is typed in, not the first button of the form.
  sheet.addEventListener("keydown", (event) => {
    const line = event.target.closest(".line");
    if (event.key !== "Enter" || event.target.tagName !== "INPUT" || !line) return;
    event.preventDefault();
    const button = line.querySelector('button[value^="store-"]') || sheet.querySelector(".main");
    if (button && !button.disabled) send(button);
  });
}
