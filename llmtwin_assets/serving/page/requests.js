// What happened to a request: its steps, tokens and seconds; and the list of recent requests.

import { authorPath, json, patient } from "./api.js";
import { button, byId, dotted, make, open } from "./dom.js";
import { problemBox } from "./panels.js";
import { seconds, when } from "./text.js";

// Names of steps and attributes that say more in other words.
const WORDS = {
  retrieval: "Finding passages",
  prompt: "Fitting the prompt",
  generation: "Writing",
  tokens_estimated: "Tokens, estimated",
  tokens_in: "Tokens read",
  tokens_out: "Tokens written",
};
const OUTCOMES = { ok: "answered", refused: "refused", failed: "failed", left: "stopped" };
const RATINGS = { 1: "rated good", [-1]: "rated poor" };

/** The list of an author's recent requests. */
export function openRequests(author) {
  return show("Recent requests", async () => {
    const { traces } = await json(`${authorPath(author, "traces")}?limit=20`);
    if (!traces.length) return [make("p", {}, "Nothing has been asked yet.")];
    return [make("ul", { className: "requests" }, ...traces.map((trace) => row(author, trace)))];
  });
}

/** One request: what was done, and how long each step took. */
export function openTrace(author, id) {
  return show("What happened", async () => {
    const trace = await patient(() => json(authorPath(author, "traces", id)));
    return [...account(trace), button("All recent requests", () => openRequests(author))];
  });
}

async function show(title, content) {
  const body = byId("requests-body");
  byId("requests-title").textContent = title;
  body.replaceChildren(make("p", { className: "facts" }, "Opening …"));
  open(byId("requests"));
  body.focus();
  try {
    body.replaceChildren(...(await content()));
  } catch (error) {
    body.replaceChildren(problemBox(error, { retry: () => show(title, content) }));
  }
  body.scrollTop = 0;
}

function row(author, trace) {
  const element = button("", () => openTrace(author, trace.id), "request");
  element.append(
    make("span", { className: "title", dir: "auto" }, trace.question),
    make("span", { className: "facts" }, ...factsOf(trace)),
  );
  return make("li", {}, element);
}

const factsOf = (trace) =>
  dotted(
    when(trace.started, true),
    trace.variant === "base" ? "base model" : "twin",
    OUTCOMES[trace.outcome] ?? trace.outcome,
    seconds(trace.seconds),
    RATINGS[trace.rating],
  );

function account(trace) {
  const steps = trace.spans.map((span) => step(span, Math.max(trace.seconds, 0.001)));
  return [
    make("p", { className: "asked", dir: "auto" }, trace.question),
    make("p", { className: "answered", dir: "auto" }, trace.answer),
    make("p", { className: "facts" }, ...factsOf(trace)),
    make("ol", { className: "steps" }, ...steps),
    details({ ...trace.attributes, trace: trace.id }),
  ];
}

function step(span, whole) {
  const lane = make("span", { className: "lane" });
  lane.style.setProperty("--from", Math.min(span.start / whole, 1));
  lane.style.setProperty("--share", Math.min(span.seconds / whole, 1));
  const head = make("div", { className: "step" });
  head.append(make("span", {}, spoken(span.name)));
  head.append(make("span", {}, seconds(span.seconds)));
  return make("li", {}, head, lane, details(span.attributes));
}

function details(attributes) {
  const list = make("dl");
  for (const [name, value] of Object.entries(attributes)) {
    const said = shown(value);
    if (said) list.append(make("dt", {}, spoken(name)), make("dd", { dir: "auto" }, said));
  }
  return list;
}

/** A name from a program as a word: "finish_reason" is "Finish reason". */
const spoken = (name) =>
  WORDS[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

function shown(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(shown).join(" ");
  if (typeof value === "number") return Number(value.toFixed(3)).toLocaleString("en-GB");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
