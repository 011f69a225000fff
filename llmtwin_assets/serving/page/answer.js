// One answer: it streams in, then gets its sources, its thumbs and its account.

import { Problem, ask, authorPath, json, patient } from "./api.js";
import { announce, copyOf, dotted, make, outward } from "./dom.js";
import { askForKey, openDocument, problemBox } from "./panels.js";
import { openTrace } from "./requests.js";
import { counted, paragraphs, pieces, webAddress } from "./text.js";

export class Answer {
  /** `author` is {id, name}, `variant` "twin" or "base"; `history` gives the messages to send. */
  constructor(author, variant, history) {
    Object.assign(this, { author, variant, history, text: "", citations: [], traceId: null });
    this.element = copyOf("answer-template");
    this.who = variant === "base" ? "Base model" : `${author.name}’s twin`;
    this.part(".who").textContent = this.who;
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  get usable() {
    return this.text.trim() !== "" && !this.failed;
  }

  /** Stream the answer. Settles when it is complete, stopped or refused; never rejects. */
  async run(signal) {
    this.begin();
    const model = this.variant === "base" ? `${this.author.id}:base` : this.author.id;
    try {
      for await (const chunk of ask(model, this.history(), signal)) this.take(chunk);
      this.finish();
    } catch (error) {
      if (signal.aborted) this.stop();
      else this.fail(error);
    }
    this.element.removeAttribute("aria-busy");
  }

  begin() {
    Object.assign(this, { text: "", citations: [], notes: [], traceId: null, failed: null });
    this.part(".outcome").replaceChildren();
    this.part(".text").replaceChildren(make("p", { className: "waiting" }, "Reading …"));
    this.element.setAttribute("aria-busy", "true");
  }

  take(chunk) {
    const choice = chunk.choices?.[0];
    this.text += choice?.delta?.content ?? "";
    this.reason = choice?.finish_reason ?? this.reason;
    this.citations = chunk.citations ?? this.citations;
    this.notes = chunk.notes ?? this.notes;
    this.traceId = chunk.trace_id ?? this.traceId;
    if (chunk.system_fingerprint) {
      this.part(".version").textContent = chunk.system_fingerprint.slice(0, 8);
      this.part(".version").title = `Version ${chunk.system_fingerprint}`;
    }
    if (choice?.delta?.content) this.draw();
  }

  /** Bring the paragraphs up to date; those that have not changed stay as they are. */
  draw() {
    const box = this.part(".text");
    if (box.firstElementChild?.className === "waiting") box.replaceChildren();
    paragraphs(this.text).forEach((paragraph, index) => {
      const element = box.children[index] ?? box.appendChild(make("p"));
      if (element.dataset.drawn === paragraph) return;
      element.replaceChildren(...pieces(paragraph).map((piece) => this.inline(piece)));
      element.dataset.drawn = paragraph;
    });
  }

  inline(piece) {
    if (typeof piece === "string") return piece;
    const citation = this.citations.find(({ number }) => number === piece);
    if (!citation) return make("span", { className: "marker" }, `[${piece}]`);
    const marker = make("button", { type: "button", className: "marker" }, `[${piece}]`);
    marker.setAttribute("aria-label", `Source ${piece}: ${citation.title}`);
    marker.addEventListener("click", () => openDocument(this.author.id, citation));
    return marker;
  }

  finish() {
    this.part(".text").replaceChildren(); // once more, now that the markers have sources
    this.draw();
    const notes = [...this.notes];
    if (!this.text.trim()) notes.push("The model gave no answer.");
    if (this.reason === "length") notes.push("The answer was cut at the longest length allowed.");
    this.note(...notes);
    this.showSources();
    this.showAfter();
    announce(`${this.who}: ${this.text.replace(/\[\d+\]/g, "")}`);
  }

  stop() {
    this.part(".waiting")?.remove();
    this.note("Stopped.");
    announce("Stopped.");
  }

  note(...sentences) {
    this.part(".outcome").replaceChildren(
      ...sentences.map((sentence) => make("p", { className: "facts" }, sentence)),
    );
  }

  fail(error) {
    this.failed = Problem.of(error);
    this.part(".waiting")?.remove();
    const again = () => this.element.dispatchEvent(new CustomEvent("again", { bubbles: true }));
    const otherKey = async () => {
      if (await askForKey("Enter a key that opens this author.")) again();
    };
    this.part(".outcome").replaceChildren(problemBox(this.failed, { retry: again, otherKey }));
    announce(this.failed.advice.join(" "));
    if (this.failed.status === 401) otherKey();
  }

  showSources() {
    this.part(".sources").hidden = this.citations.length === 0;
    this.part(".sources summary").textContent = counted(this.citations.length, "source");
    this.part(".sources ol").replaceChildren(...this.citations.map((each) => this.source(each)));
  }

  source(citation) {
    const element = copyOf("source-template");
    element.classList.toggle("uncited", !citation.cited);
    element.querySelector(".number").textContent = citation.number;
    element.querySelector(".title").textContent = citation.title;
    element.querySelector(".snippet").textContent = citation.text;
    element.querySelector(".source").onclick = () => openDocument(this.author.id, citation);
    const address = webAddress(citation.url);
    const link = address && outward(address, address.host);
    const facts = dotted(citation.cited ? "" : "given to the model, not cited", link);
    if (facts.length) element.querySelector(".facts").append(...facts);
    else element.querySelector(".facts").remove();
    return element;
  }

  showAfter() {
    if (!this.traceId) return;
    this.part(".after").hidden = false;
    this.part(".happened").onclick = () => openTrace(this.author.id, this.traceId);
    this.part(".up").onclick = () => this.rate(1);
    this.part(".down").onclick = () => this.rate(-1);
    this.part(".better").onsubmit = (event) => {
      event.preventDefault();
      this.keepBetter();
    };
  }

  async rate(rating) {
    this.rating = rating;
    if (!(await this.send({ rating }))) return;
    this.part(".up").setAttribute("aria-pressed", rating === 1);
    this.part(".down").setAttribute("aria-pressed", rating === -1);
    this.part(".better").hidden = rating === 1;
    if (rating === -1) this.part(".better textarea").focus();
  }

  async keepBetter() {
    const better = this.part(".better textarea").value.trim();
    if (!better || !(await this.send({ rating: this.rating, better }))) return;
    this.part(".better").hidden = true;
    this.part(".down").focus();
  }

  async send(feedback) {
    const kept = this.part(".kept");
    kept.textContent = "";
    try {
      const body = { trace_id: this.traceId, ...feedback };
      await patient(() => json(authorPath(this.author.id, "feedback"), { body }));
      kept.textContent = "Kept.";
      return true;
    } catch (error) {
      kept.textContent = `Not kept. ${Problem.of(error).advice.join(" ")}`;
      return false;
    }
  }
}
