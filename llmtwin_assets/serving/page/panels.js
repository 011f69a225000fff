// The panels beside the conversation: a document with its cited passage, the access key, and how
// a problem is shown.

import { Problem, authorPath, json, key } from "./api.js";
import { button, byId, dotted, make, open, outward } from "./dom.js";
import { around, webAddress, when } from "./text.js";

/** Show a cited document, its passage highlighted and in view. */
export async function openDocument(author, citation) {
  const dialog = byId("document");
  const body = byId("document-text");
  byId("document-title").textContent = citation.title;
  byId("document-facts").replaceChildren(...factsOf(citation));
  body.replaceChildren(make("p", { className: "facts" }, "Opening …"));
  open(dialog);
  body.focus();
  try {
    const found = await json(authorPath(author, "documents", citation.document_id));
    byId("document-facts").replaceChildren(...factsOf(found));
    body.replaceChildren(...passageIn(found.text, citation));
  } catch (error) {
    body.replaceChildren(problemBox(error), ...passageAlone(citation, "The passage was:"));
  }
  body.querySelector("mark")?.scrollIntoView({ block: "center" });
}

function passageIn(text, citation) {
  const cut = around(text, citation);
  if (!cut) {
    const changed = "This document has changed since it was cited. The passage was:";
    return [...passageAlone(citation, changed), make("hr"), make("div", {}, text)];
  }
  const [before, passage, after] = cut;
  return [make("div", {}, before, make("mark", {}, passage), after)];
}

const passageAlone = (citation, because) => [
  make("p", { className: "facts" }, because),
  make("blockquote", {}, make("mark", {}, citation.text)),
];

function factsOf({ url, published, kind }) {
  const address = webAddress(url);
  return dotted(kind, when(published), address ? outward(address, address.host) : url);
}

/** Ask for the access key; resolves to true when one was entered. */
export function askForKey(because) {
  const dialog = byId("key");
  const field = byId("key-value");
  byId("key-why").textContent = because;
  byId("key-forget").hidden = !key.get();
  field.value = "";
  dialog.returnValue = "";
  open(dialog);
  field.focus();
  byId("key-form").onsubmit = (event) => {
    event.preventDefault();
    key.set(field.value.trim());
    dialog.close("entered");
  };
  byId("key-cancel").onclick = () => dialog.close();
  byId("key-forget").onclick = () => {
    key.forget();
    dialog.close("entered");
  };
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "entered");
  });
}

/** A problem as a person reads it, with the buttons that may help. */
export function problemBox(error, { retry, otherKey } = {}) {
  const { advice: [what, todo], message, status, passing, after } = Problem.of(error);
  const said = make("p", {}, make("strong", {}, what), " ", todo);
  const box = make("div", { className: "problem" }, said);
  if (message && status !== 401) box.append(make("p", { className: "facts" }, message));
  const row = make("div", { className: "row" });
  if (retry && passing) row.append(retryButton(retry, after));
  if (otherKey && [401, 403].includes(status)) row.append(button("Enter a key", otherKey));
  if (row.childElementCount) box.append(row);
  return box;
}

function retryButton(retry, after) {
  const element = button("Try again", retry);
  if (after) {
    element.disabled = true;
    setTimeout(() => (element.disabled = false), Math.min(after, 60) * 1000);
  }
  return element;
}
