// The review page: read an author's pairs one after the other and decide about each. This file holds
// what the person is doing now; how a pair looks is in pair.js.

import { Problem, authorPath, json, key } from "./api.js";
import { announce, byId, make } from "./dom.js";
import { drawPair, drawProgress } from "./pair.js";
import { askForKey, problemBox } from "./panels.js";
import { counted } from "./text.js";

const AUTHOR = "llmtwin.author"; // remembered by the page to ask on too
const FILTERS = ["status", "kind", "topic"];
const STATUSES = ["unreviewed", "accepted", "edited", "rejected"];

const now = { author: "", pairs: [], at: 0, found: 0, more: false, busy: false, turn: 0 };

// ---- Starting ---------------------------------------------------------------------------------

async function start() {
  byId("notice").hidden = true;
  byId("change-key").hidden = !key.get();
  try {
    const { data } = await json("/v1/datasets");
    if (data.length) offerAuthors(data);
    else sayThereIsNothing();
  } catch (error) {
    startLater(error);
  }
}

async function startLater(error) {
  notice(problemBox(error, { retry: start, otherKey: enterKey }));
  if (Problem.of(error).status === 401) {
    await enterKey(key.get() ? "That key was not accepted." : "This service needs an access key.");
  }
}

async function enterKey(because = "") {
  const why = typeof because === "string" ? because : "";
  if (await askForKey(why || "Enter the key that you were given.")) start();
}

function sayThereIsNothing() {
  notice(
    make("h1", {}, "Nothing to review yet"),
    make("p", {}, "In the project’s folder, this makes an author’s pairs and trains nothing:"),
    make("pre", {}, make("code", {}, ".venv/bin/llmtwin dataset make AUTHOR")),
  );
}

function notice(...parts) {
  byId("pair").hidden = byId("actions").hidden = true;
  byId("notice").replaceChildren(...parts);
  byId("notice").hidden = false;
}

function offerAuthors(authors) {
  const select = byId("author");
  select.replaceChildren(...authors.map(({ author, name }) => new Option(name, author)));
  const asked = new URLSearchParams(location.search).get("author") ?? localStorage.getItem(AUTHOR);
  select.value = authors.some(({ author }) => author === asked) ? asked : authors[0].author;
  select.hidden = authors.length < 2;
  byId("brand").hidden = !select.hidden;
  choose(select.value);
}

function choose(author) {
  now.author = author;
  localStorage.setItem(AUTHOR, author);
  offer("status", STATUSES.map((each) => [each, each]), "all pairs");
  for (const name of ["kind", "topic"]) offer(name, [], "all");
  load();
}

// ---- Reading ----------------------------------------------------------------------------------

const field = (name) => byId(name === "status" ? "wanted" : name);

/** Fill a filter's choices, [value, text] each; what was chosen stays chosen. */
function offer(name, choices, all) {
  const select = field(name);
  const before = select.value;
  select.replaceChildren(new Option(all, ""), ...choices.map(([value, text]) =>
    new Option(text, value)));
  if (choices.some(([value]) => value === before)) select.value = before;
}

async function fetchPairs(after = "") {
  const query = new URLSearchParams(FILTERS.filter((name) => field(name).value)
    .map((name) => [name, field(name).value]));
  if (after) query.set("after", after);
  return json(`${authorPath(now.author, "pairs")}?${query}`);
}

/** Show the first pair that the filters let through. */
async function load() {
  const turn = (now.turn += 1);
  try {
    const found = await fetchPairs();
    if (turn !== now.turn) return; // something else was chosen meanwhile
    Object.assign(now, { pairs: found.pairs, at: 0, found: found.found, more: found.more });
    byId("notice").hidden = true;
    byId("head").hidden = false;
    byId("name").textContent = found.name;
    document.title = `Review ${found.name} · LLM Twin`;
    for (const [name, counts] of [["kind", found.kinds], ["topic", found.topics]]) {
      offer(name, Object.entries(counts).map(([each, count]) => [each, `${each} (${count})`]), "all");
    }
    drawProgress(found.progress);
    byId("elsewhere").textContent = found.elsewhere
      ? `${counted(found.elsewhere, "more decision")} about pairs that are not here now` : "";
    draw();
  } catch (error) {
    if (turn === now.turn) notice(problemBox(error, { retry: load, otherKey: enterKey }));
  }
}

function draw() {
  close();
  const pair = now.pairs[now.at];
  if (!pair) {
    notice(make("p", {}, "There is no such pair. Choose other filters to see more."));
    return;
  }
  byId("notice").hidden = true;
  byId("pair").hidden = byId("actions").hidden = false;
  drawPair(pair, `Pair ${now.at + 1} of ${now.found.toLocaleString("en-GB")}`);
  byId("previous").disabled = now.at === 0;
  byId("next").disabled = now.at + 1 >= now.pairs.length && !now.more;
}

async function move(step) {
  if (now.busy) return;
  if (now.at + step >= now.pairs.length && now.more) {
    const { turn } = now;
    const more = await attempt(() => fetchPairs(now.pairs.at(-1).id));
    if (!more || turn !== now.turn) return;
    now.pairs.push(...more.pairs);
    now.more = more.more;
  }
  const at = now.at + step;
  if (at < 0 || at >= now.pairs.length) return;
  now.at = at;
  draw();
  show();
}

/** Bring the pair to the top, and a screen reader to it. */
function show() {
  scrollTo({ top: byId("pair").offsetTop - byId("pair").offsetParent.offsetTop - 70 });
  byId("pair").focus({ preventScroll: true });
}

// ---- Deciding ---------------------------------------------------------------------------------

/** Do one thing at a time; a refusal is shown in `box`, and nothing comes back. */
async function attempt(act, box = byId("problem")) {
  now.busy = true;
  box.replaceChildren();
  try {
    return await act();
  } catch (error) {
    box.replaceChildren(problemBox(error, { otherKey: enterKey }));
    return null;
  } finally {
    now.busy = false;
  }
}

async function decide(body, box) {
  if (now.busy || !now.pairs[now.at]) return;
  const { at, author } = now;
  const path = authorPath(author, "pairs", now.pairs[at].id, "decisions");
  const told = await attempt(() => json(path, { body }), box);
  if (!told || author !== now.author) return;
  now.pairs[at] = told.pair;
  drawProgress(told.progress);
  announce(`${told.pair.status}. ${byId("progress-text").textContent}`);
  if (at + 1 < now.pairs.length || now.more) await move(1);
  else draw();
}

function openForm(form, text, value) {
  close();
  byId(form).hidden = false;
  byId("instruction").hidden = byId("actions").hidden = form === "edit";
  byId("buttons").hidden = true;
  byId(text).value = value;
  fit(byId(text));
  byId(text).focus();
}

function close() {
  byId("edit").hidden = byId("reject").hidden = true;
  for (const id of ["instruction", "actions", "buttons"]) byId(id).hidden = false;
  byId("edit-problem").replaceChildren();
  byId("problem").replaceChildren();
}

function cancel() {
  close();
  byId("pair").focus({ preventScroll: true });
}

function fit(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

const accept = () => decide({ verdict: "accepted" });
const edit = () => openForm("edit", "edit-text", now.pairs[now.at].instruction);
const refuse = () => openForm("reject", "reject-reason", "");
const keepEdit = () =>
  decide({ verdict: "edited", instruction: byId("edit-text").value }, byId("edit-problem"));
const keepReject = () => decide({ verdict: "rejected", reason: byId("reject-reason").value });

// ---- Keyboard and buttons ---------------------------------------------------------------------

const KEYS = {
  j: () => move(1), ArrowRight: () => move(1), k: () => move(-1), ArrowLeft: () => move(-1),
  a: accept, e: edit, r: refuse,
};

function onKey(event) {
  if (document.querySelector("dialog[open]")) return;
  const inForm = !byId("edit").hidden || !byId("reject").hidden;
  if (event.key === "Escape" && inForm) return cancel();
  const typing = event.target.closest("input, textarea, select");
  const combined = event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
  if (typing || combined || inForm || byId("pair").hidden || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault(); // or the key would be typed into the form that it opens
  if (!event.repeat || event.key.startsWith("Arrow")) KEYS[event.key]();
}

function onSubmit(form, act) {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
  byId(form).querySelector(".cancel").addEventListener("click", cancel);
}

onSubmit("edit", keepEdit);
onSubmit("reject", keepReject);
byId("edit-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) keepEdit();
});
byId("reject-reason").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  keepReject();
});
for (const id of ["edit-text", "reject-reason"]) {
  byId(id).addEventListener("input", (event) => fit(event.target));
}
for (const [id, act] of Object.entries({
  previous: () => move(-1), next: () => move(1), accept, mend: edit, refuse, "change-key": enterKey,
})) {
  byId(id).addEventListener("click", () => act());
}
byId("filters").addEventListener("change", load);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("author").addEventListener("change", (event) => choose(event.target.value));
document.addEventListener("keydown", onKey);

start();
