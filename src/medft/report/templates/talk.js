// The page of `medft serve`. What a model wrote is shown as text, never as HTML.
"use strict";

const find = (selector) => document.querySelector(selector);

async function post(path, content, signal) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(content), signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("the server cannot be reached: is medft serve still running?");
  });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error || `the server answers ${answer.status}`);
  }
  return answer;
}

// Asking

let tests = [];
let writing = null;

function showExpected() {
  const test = tests[find("#pick")?.value];
  const isTest = test && find("#question").value.trim() === test.question.trim()
    && find("#input").value.trim() === test.input.trim();
  find("#expected").hidden = !isTest;
  find("#expected .text").textContent = isTest ? test.expected : "";
}

function takeTest() {
  const test = tests[find("#pick").value] || { question: "", input: "" };
  find("#question").value = test.question;
  find("#input").value = test.input;
  if (test.input) find("#more").open = true;
  clearAnswers();
}

function clearAnswers() {
  for (const side of ["before", "after"]) {
    if (!find(`#${side}`)) continue;
    find(`#${side} .text`).textContent = "";
    find(`#${side} .text`).classList.remove("writing");
    find(`#${side} .remark`).textContent = "";
  }
  showExpected();
}

function readSettings() {
  const inputs = [...document.querySelectorAll(".settings input")];
  return Object.fromEntries(inputs.map((each) => [each.name, each.type === "checkbox" ? each.checked : Number(each.value)]));
}

function take(event) {
  if (event.kind === "error") throw new Error(event.error);
  if (event.kind === "wait") {
    find("#status").textContent = `${event.ahead} before you in line ...`;
    return;
  }
  find("#status").textContent = "writing ...";
  const text = find(`#${event.side} .text`);
  if (event.kind === "piece") {
    text.textContent += event.text;
    text.scrollTop = text.scrollHeight;
  } else {
    text.textContent = event.text;
    text.classList.remove("writing");
    find(`#${event.side} .remark`).textContent = event.remark || (event.text ? "" : "an empty answer");
  }
}

async function readLines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value || "")).split("\n");
    rest = lines.pop();
    lines.forEach((line) => take(JSON.parse(line)));
    if (done) return;
  }
}

async function ask(event) {
  event.preventDefault();
  if (writing) return;
  writing = new AbortController();
  clearAnswers();
  find("#send").disabled = true;
  find("#stop").hidden = false;
  find("#status").textContent = "reading the question ...";
  document.querySelectorAll("#answers .sides .text").forEach((each) => each.classList.add("writing"));
  const asked = { question: find("#question").value, input: find("#input").value, settings: readSettings() };
  try {
    await readLines(await post("ask", asked, writing.signal));
    find("#status").textContent = "";
  } catch (error) {
    find("#status").textContent = error.name === "AbortError" ? "stopped" : error.message;
  }
  document.querySelectorAll("#answers .text").forEach((each) => each.classList.remove("writing"));
  find("#send").disabled = false;
  find("#stop").hidden = true;
  writing = null;
}

// Marking

const shown = []; // pairs, in the order they were shown
let place = -1;
let asked = 0; // pairs asked for; an answer that another one has overtaken does not count

function showPair() {
  const pair = shown[place];
  find("#pair").hidden = false;
  find("#pair-question").textContent = pair.question;
  find("#pair-input").textContent = pair.input;
  find("#pair-expected").textContent = pair.expected;
  for (const side of ["left", "right"]) {
    find(`#${side} .text`).textContent = pair[side];
    find(`#${side} .remark`).textContent = pair[side] ? "" : "an empty answer";
  }
  document.querySelectorAll("[data-better]").forEach((button) => {
    button.classList.toggle("main", button.dataset.better === pair.better);
  });
  find("#back").disabled = place === 0;
}

function tellCount({ marked, of }) {
  find("#mark-status").textContent = `${marked} of ${of} marked by you`;
}

async function nextPair() {
  if (place < shown.length - 1) {
    place += 1;
    showPair();
    return;
  }
  const mine = (asked += 1);
  const pair = await (await post("pair", { who: find("#who").value })).json();
  if (mine !== asked) return;
  tellCount(pair);
  if (pair.token) {
    place = shown.push(pair) - 1;
    showPair();
  } else {
    find("#pair").hidden = true;
    find("#mark-status").textContent += ": that is all of them, thank you";
  }
}

async function mark(better) {
  const pair = shown[place]; // another name may be typed meanwhile, which begins anew
  const buttons = document.querySelectorAll("#pair button");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    tellCount(await (await post("mark", { token: pair.token, who: find("#who").value, better })).json());
    pair.better = better;
    if (pair === shown[place]) await nextPair();
  } catch (error) {
    find("#mark-status").textContent = error.message;
  }
  buttons.forEach((button) => { button.disabled = false; });
  find("#back").disabled = place <= 0;
}

async function begin() {
  shown.length = 0;
  place = -1;
  find("#pair").hidden = true;
  try {
    await nextPair();
  } catch (error) {
    find("#mark-status").textContent = error.message;
  }
}

// Both

function show(name) {
  for (const each of ["ask", "marks"]) {
    find(`#${each}`).hidden = each !== name;
    find(`#to-${each}`).setAttribute("aria-pressed", String(each === name));
  }
  if (name === "marks" && find("#who") && place < 0) begin();
}

find("#to-ask").addEventListener("click", () => show("ask"));
find("#to-marks").addEventListener("click", () => show("marks"));
find("#form").addEventListener("submit", ask);
find("#stop").addEventListener("click", () => writing?.abort());
find("#question").addEventListener("input", showExpected);
find("#input").addEventListener("input", showExpected);
find("#question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    find("#form").requestSubmit();
  }
});
find("#pick")?.addEventListener("change", takeTest);
find("#who")?.addEventListener("change", begin);
find("#back")?.addEventListener("click", () => {
  place -= 1;
  showPair();
});
document.querySelectorAll("[data-better]").forEach((button) => {
  button.addEventListener("click", () => mark(button.dataset.better));
});
fetch("questions").then((answer) => answer.json()).then((rows) => { tests = rows; }).catch(() => {});
