// How a pair looks: what is asked, the author's answer, where it is from, and what was decided.
// Everything here is text; nothing becomes HTML.

import { byId, dotted, make } from "./dom.js";
import { counted, when } from "./text.js";

const STATUS = { unreviewed: "Not reviewed", accepted: "Accepted", edited: "Edited", rejected: "Rejected" };
const SPLIT = { train: "to train on", "held-out": "held out, to measure with" };

/** Show a pair; `head` says which one it is. */
export function drawPair(pair, head) {
  byId("pair-head").textContent = head;
  byId("pair-status").textContent = STATUS[pair.status] ?? pair.status;
  byId("pair-status").className = `status ${pair.status}`;
  byId("pair-facts").replaceChildren(...dotted(
    make("bdi", {}, pair.title), `kind: ${pair.kind}`, pair.topic && `topic: ${pair.topic}`,
    SPLIT[pair.split] ?? pair.split,
  ));
  byId("instruction").textContent = pair.instruction;
  byId("generated").hidden = pair.instruction === pair.generated;
  byId("generated").textContent = `It read: ${pair.generated}`;
  byId("answer").textContent = pair.answer;
  byId("why").replaceChildren(...dotted(
    `Kept because it ${pair.why}`,
    `answer by: ${pair.origin}`,
    `instruction by: ${pair.written_by}`,
  ));
  drawHistory(pair.decisions);
}

function drawHistory(decisions) {
  byId("history").hidden = decisions.length === 0;
  byId("history").querySelector("summary").textContent = counted(decisions.length, "decision");
  byId("history").querySelector("ul").replaceChildren(...decisions.map((made) =>
    make("li", { dir: "auto" }, ...dotted(
      STATUS[made.verdict] ?? made.verdict, `by ${made.by}`, when(made.given, true),
      made.instruction, made.reason,
    ))));
}

/** Show how far the review has come, from pairs by status. */
export function drawProgress(counts) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const done = total - counts.unreviewed;
  Object.assign(byId("progress"), { max: Math.max(total, 1), value: done });
  const parts = ["accepted", "edited", "rejected"].map((each) => `${counts[each]} ${each}`);
  byId("progress-text").textContent =
    [`${done} of ${total} reviewed`, ...parts].join(" · ");
}
