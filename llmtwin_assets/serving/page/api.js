// The service as the page sees it: requests with the key, streams, and refusals in plain words.
// Knows nothing of what is shown.

import { counted } from "./text.js";

const BROKEN = "broken"; // the code of an answer that ended too early
const KEY = "llmtwin.key";
const LATE = 700; // ms; the service writes traces in the background

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** A refusal: `status` is the HTTP status, 0 when the service was not reached or broke off. */
export class Problem extends Error {
  constructor(status, message, { code = "", after = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, after });
  }

  /** Any error as a Problem: one that is none is a mistake of ours, and goes to the console. */
  static of(error) {
    if (error instanceof Problem) return error;
    console.error(error);
    return new Problem(-1, "", { code: "page" });
  }

  /** What happened and what to do, one sentence each. */
  get advice() {
    const [what, todo] = ADVICE[this.code] ?? ADVICE[this.status] ?? ADVICE[500];
    return [what, this.after ? `Try again in ${counted(this.after, "second")}.` : todo];
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return [0, 429, 500, 502, 503, 504].includes(this.status);
  }
}

const ADVICE = {
  page: ["This page made a mistake.", "Reload it. The browser’s console says more."],
  [BROKEN]: ["The answer broke off.", "Try again."],
  engine_busy: ["The language model is busy.", "Try again in a few seconds."],
  engine_down: ["The language model does not answer.", "It may still be starting: try again soon."],
  no_twin: ["This author has no twin yet.", "Make one, then ask again."],
  data_set_not_found: ["This author has no pairs to review yet.", "Make them, then look again."],
  pair_not_found: ["This pair is not there any more.", "Reload the page to read the others."],
  instruction_refused: ["This instruction cannot be kept.", "Change it, then keep it again."],
  no_index: ["This author’s writing cannot be searched yet.", "Build its index, then ask again."],
  0: ["The service cannot be reached.", "Is it running? Start it, then try again."],
  400: ["That is too long for the model.", "Shorten the question or begin a new conversation."],
  401: ["This service needs an access key.", "Enter one to go on."],
  403: ["Your key does not open this author.", "Choose another author or enter another key."],
  404: ["That is not here (any more).", "Choose the author again, or reload the page."],
  413: ["The question is too long.", "Shorten it and ask again."],
  422: ["The service did not understand the request.", "Change the question and ask again."],
  429: ["Too many requests at once.", "Wait a moment, then try again."],
  500: ["Something went wrong in the service.", "Try again; its log says more."],
  503: ["The twin cannot answer now.", "It may still be starting. Try again in a few seconds."],
};

/** Send a request; a refusal is raised as a Problem. `body` is sent as JSON. */
export async function call(path, { body, signal } = {}) {
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const method = body ? "POST" : "GET";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    throw signal?.aborted ? error : new Problem(0, "");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export const json = async (path, options) => (await call(path, options)).json();

/** Do what needs a trace; one that is not there yet is given a moment to be written. */
export async function patient(request) {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    await new Promise((resolve) => setTimeout(resolve, LATE));
    return request();
  }
}

/** An author's resource: authorPath("ada", "traces", id). */
export const authorPath = (author, ...rest) =>
  ["/v1/authors", ...[author, ...rest].map(encodeURIComponent)].join("/");

/** Ask a model; yields the completion's chunks as they come. */
export async function* ask(model, messages, signal) {
  const body = { model, messages, stream: true, sources_in_text: false };
  const response = await call("/v1/chat/completions", { body, signal });
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw midway(chunk.error);
      yield chunk;
    }
  } catch (error) {
    throw signal?.aborted || error instanceof Problem ? error : broken();
  }
  throw broken();
}

/** The data of server-sent events, from a stream of bytes that may be cut anywhere. */
export async function* events(stream) {
  let rest = "";
  let data = [];
  for await (const text of decoded(stream)) {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      if (line === "" && data.length) {
        yield data.join("\n");
        data = [];
      }
    }
  }
}

async function* decoded(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function problemOf(response) {
  const after = Number(response.headers.get("Retry-After")) || 0;
  const said = await response.json().catch(() => ({}));
  return problem(response.status, said.error, after);
}

const midway = (error) => problem(error.code === "internal_error" ? 500 : 503, error);

const broken = () => new Problem(0, "", { code: BROKEN });

const problem = (status, error, after = 0) =>
  new Problem(status, error?.message ?? "", { code: error?.code ?? "", after });
