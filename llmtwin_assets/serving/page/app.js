// The page: choose an author, ask, follow up. This file wires the parts together and holds what
// the person is doing now; answers, panels and requests are modules of their own.

import { Answer } from "./answer.js";
import { Problem, authorPath, call, json, key } from "./api.js";
import { announce, button, byId, copyOf, make, outward } from "./dom.js";
import { askForKey, problemBox } from "./panels.js";
import { openRequests } from "./requests.js";
import { counted, inWords, when } from "./text.js";

const AUTHOR = "llmtwin.author";
const RECHECK = 4000; // ms between looks at an engine that is not ready

const byTouch = matchMedia("(pointer: coarse)").matches; // the keyboard on the screen hides answers

const now = { authors: [], author: null, running: null, recheck: 0 };
const conversations = new Map(); // author's id -> {turns, element}

// ---- Starting ---------------------------------------------------------------------------------

async function start() {
  byId("notice").hidden = true;
  byId("change-key").hidden = !key.get();
  try {
    const { data } = await json("/v1/models");
    now.authors = data
      .filter(({ id }) => !id.endsWith(":base"))
      .map((model) => ({ ...model, base: data.some(({ id }) => id === `${model.id}:base`) }));
  } catch (error) {
    return startLater(error);
  }
  if (!now.authors.length) return sayThereIsNoTwin();
  offerAuthors();
  watchTheEngine();
}

async function startLater(error) {
  notice(make("h1", {}, "LLM Twin"), problemBox(error, { retry: start, otherKey: enterKey }));
  if (error.status === 401) {
    await enterKey(key.get() ? "That key was not accepted." : "This service needs an access key.");
  }
}

async function enterKey(because = "") {
  const why = typeof because === "string" ? because : "Enter the key that you were given.";
  if (await askForKey(why)) start();
}

function sayThereIsNoTwin() {
  const command = make("pre", {}, make("code", {}, "make twin"));
  notice(
    make("h1", {}, "No twin yet"),
    make("p", {}, "Nobody’s writing has been learned here. In the project’s folder, run"),
    command,
    make("p", {}, "It takes about eight minutes on two cores and makes a twin of James Madison. "
      + "Your own writing goes into authors.yaml."),
    button("Look again", start, "main"),
  );
}

/** Say while the language model is not there, and look again until it is. */
async function watchTheEngine() {
  clearTimeout(now.recheck);
  const ready = await fetch("/readyz").then((reply) => reply.json()).catch(() => null);
  if (ready && ready.engine !== "down") {
    byId("notice").hidden = true;
    return;
  }
  const problem = new Problem(ready ? 503 : 0, "", { code: ready ? "engine_down" : "" });
  if (byId("notice").hidden) notice(problemBox(problem, { retry: watchTheEngine }));
  now.recheck = setTimeout(watchTheEngine, RECHECK);
}

function notice(...parts) {
  byId("notice").replaceChildren(...parts);
  byId("notice").hidden = false;
}

// ---- Authors ----------------------------------------------------------------------------------

function offerAuthors() {
  const select = byId("author");
  select.replaceChildren(...now.authors.map(({ id, name }) => new Option(name, id)));
  const remembered = localStorage.getItem(AUTHOR);
  select.value = now.authors.some(({ id }) => id === remembered) ? remembered : now.authors[0].id;
  for (const id of ["head", "composer", "new", "recent"]) byId(id).hidden = false;
  select.hidden = now.authors.length < 2;
  byId("brand").hidden = !select.hidden;
  choose(select.value);
  if (!byTouch) byId("question").focus();
}

function choose(id) {
  stop();
  now.author = now.authors.find((author) => author.id === id);
  localStorage.setItem(AUTHOR, id);
  const { name, base } = now.author;
  document.title = `${name} · LLM Twin`;
  byId("name").textContent = name;
  byId("question-label").textContent = `Your question to ${name}’s twin`;
  byId("compare").disabled = !base;
  if (!conversations.has(id)) conversations.set(id, { turns: [], element: make("div") });
  byId("conversation").replaceChildren(conversations.get(id).element);
  describe(now.author);
}

/** Which version answers, and what its report says. */
async function describe(author) {
  byId("about").open = false;
  byId("about-line").textContent = `Version ${(author.version ?? "").slice(0, 8)}`;
  byId("about-text").replaceChildren();
  try {
    const facts = await json(authorPath(author.id));
    if (author !== now.author) return; // another was chosen meanwhile
    byId("about-line").textContent = [
      `Version ${facts.version.slice(0, 8)}`,
      facts.made && `made ${when(facts.made)}`,
      facts.documents && `from ${counted(facts.documents, "document")}`,
    ].filter(Boolean).join(" · ");
    const sentences = inWords(facts.report ?? {}).map((sentence) => make("li", {}, sentence));
    byId("about-text").replaceChildren(make("ul", {}, ...sentences), reportLink(author.id), pairsLink(author.id));
  } catch (error) {
    byId("about-text").replaceChildren(problemBox(error, { retry: () => describe(author) }));
  }
}

/** Without a key a plain link; a link cannot carry a key, so then the report is saved as a file. */
function reportLink(id) {
  const path = authorPath(id, "report");
  if (!key.get()) return outward(new URL(path, location.href), "Open the full report");
  return button("Save the full report", async () => {
    const file = await (await call(path)).blob();
    const link = make("a", { href: URL.createObjectURL(file), download: `report-${id}.html` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}

/** Where the pairs that it learns from are read. In this tab, which has the key. */
function pairsLink(id) {
  const href = `/review?${new URLSearchParams({ author: id })}`;
  return make("a", { href }, "Review what it learns from");
}

// ---- Asking -----------------------------------------------------------------------------------

function askQuestion() {
  const field = byId("question");
  const question = field.value.trim();
  if (!question || now.running) return;
  const turn = addTurn(question, byId("compare").checked ? ["twin", "base"] : ["twin"]);
  field.value = "";
  if (byTouch) field.blur();
  fitField();
  turn.element.scrollIntoView({ block: "start" });
  run(turn.answers).then(() => giveBack(turn));
}

/** A question that must be changed before it is asked again goes back into the field. */
function giveBack({ question, answers }) {
  if (!answers.some(({ failed }) => [400, 413, 422].includes(failed?.status))) return;
  if (!byId("question").value) byId("question").value = question;
  fitField();
}

/** A question with its answers to be, at the end of the conversation. */
function addTurn(question, variants) {
  const conversation = conversations.get(now.author.id);
  const turn = { question, element: copyOf("turn-template") };
  turn.element.querySelector(".asked").textContent = question;
  turn.answers = variants.map(
    (variant) => new Answer(now.author, variant, () => messages(conversation, turn, variant)),
  );
  const box = turn.element.querySelector(".answers");
  box.classList.toggle("two", variants.length === 2);
  for (const answer of turn.answers) {
    box.append(answer.element);
    answer.part(".sources").open = variants.length === 1;
    answer.element.addEventListener("again", () => now.running || run([answer]));
  }
  conversation.turns.push(turn);
  conversation.element.append(turn.element);
  return turn;
}

/** The conversation up to a turn as one variant has seen it; unanswered questions are left out. */
function messages({ turns }, turn, variant) {
  const history = turns.slice(0, turns.indexOf(turn)).flatMap(({ question, answers }) => {
    const given = answers.filter(({ usable }) => usable);
    const answer = given.find((each) => each.variant === variant) ?? given[0];
    return answer
      ? [{ role: "user", content: question }, { role: "assistant", content: answer.text }]
      : [];
  });
  return [...history, { role: "user", content: turn.question }];
}

async function run(answers) {
  const running = new AbortController();
  now.running = running;
  showRunning();
  announce("Answering.");
  await Promise.all(answers.map((answer) => answer.run(running.signal)));
  if (now.running === running) now.running = null;
  showRunning();
}

function stop() {
  now.running?.abort();
  now.running = null;
  showRunning();
}

function showRunning() {
  byId("send").textContent = now.running ? "Stop" : "Ask";
  byId("send").classList.toggle("stop", Boolean(now.running));
}

function newConversation() {
  stop();
  conversations.delete(now.author.id);
  choose(now.author.id);
  scrollTo(0, 0);
  byId("question").focus();
  announce("New conversation.");
}

// ---- Keyboard and buttons ---------------------------------------------------------------------

function fitField() {
  const field = byId("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function onKey(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  askQuestion();
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (now.running) stop();
  else askQuestion();
});
byId("question").addEventListener("keydown", onKey);
byId("question").addEventListener("input", fitField);
byId("author").addEventListener("change", (event) => choose(event.target.value));
byId("compare").addEventListener("change", (event) =>
  document.body.classList.toggle("comparing", event.target.checked));
byId("new").addEventListener("click", newConversation);
byId("recent").addEventListener("click", () => openRequests(now.author.id));
byId("change-key").addEventListener("click", () => enterKey());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && now.running && !document.querySelector("dialog[open]")) stop();
});

start();
