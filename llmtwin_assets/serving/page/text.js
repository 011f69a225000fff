// Text as the page shows it: positions, markers, links, numbers and dates in plain words.
// Knows neither the document object model nor the network: values in, values out.

/** The index into a JavaScript string (UTF-16 units) of the code point number `position`. */
export function unitIndex(text, position) {
  let index = 0;
  for (let passed = 0; passed < position && index < text.length; passed += 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}

/** A document's text cut into [before, passage, after]; null when the passage is not there. */
export function around(text, citation) {
  const start = unitIndex(text, citation.start);
  const end = start + unitIndex(text.slice(start), citation.end - citation.start);
  const here = text.slice(start, end);
  if (here && here.trim().startsWith(citation.text.trim().slice(0, 40))) {
    return [text.slice(0, start), here, text.slice(end)];
  }
  const found = citation.text ? text.indexOf(citation.text) : -1; // the document has changed since
  if (found < 0) return null;
  const after = found + citation.text.length;
  return [text.slice(0, found), citation.text, text.slice(after)];
}

/** Paragraphs of an answer: parts between blank lines. */
export const paragraphs = (text) =>
  text.split(/\n\s*\n/).map((part) => part.trim()).filter(Boolean);

/** A paragraph as a list of strings and of numbers: "So [1]." is ["So ", 1, "."]. */
export function pieces(paragraph) {
  return paragraph
    .split(/\[(\d{1,3})\]/)
    .map((part, index) => (index % 2 ? Number(part) : part))
    .filter((part) => part !== "");
}

/** The address when it is one of the web, else null: nothing else may become a link. */
export function webAddress(url) {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  return parsed && ["http:", "https:"].includes(parsed.protocol) ? parsed : null;
}

export const seconds = (value) =>
  value < 0.01 ? "under 0.01 s" : `${value.toFixed(value < 1 ? 2 : 1)} s`;

/** An ISO date as a person writes it; with the hour and minute when `timed`. */
export function when(iso, timed = false) {
  const moment = new Date(iso);
  if (!iso || Number.isNaN(moment.valueOf())) return "";
  const dayOnly = iso.length <= 10;
  const clock = timed && !dayOnly ? { hour: "2-digit", minute: "2-digit" } : {};
  const zone = dayOnly ? { timeZone: "UTC" } : {};
  return moment.toLocaleString("en-GB", {
    day: "numeric", month: "long", year: "numeric", ...clock, ...zone,
  });
}

export const counted = (number, one, many = `${one}s`) =>
  `${Number(number).toLocaleString("en-GB")} ${number === 1 ? one : many}`;

/** The report's headline figures as sentences; a figure that is not there is not spoken of. */
export function inWords(figures) {
  const said = [];
  const gain = figures["style gain (Delta)"];
  const [nats, base] = [figures["nats per token"], figures["nats per token of the base"]];
  const [copied, run] = [figures["copied 8-grams"], figures["longest copied run"]];
  if (gain !== undefined) {
    said.push(
      gain > 0
        ? `In style it has gone ${Math.round(gain * 100)} % of the way from the base model to `
          + "texts of the author that it never saw."
        : "In style it is no nearer to the author than the base model is.",
    );
  }
  if (nats !== undefined && base !== undefined) {
    said.push(
      `Unseen text of the author surprises it ${nats < base ? "less" : "no less"} than it does `
      + `the base model: ${nats.toFixed(2)} against ${base.toFixed(2)} nats per token.`,
    );
  }
  if (copied !== undefined) {
    const share = copied === 0 ? "None" : `${(copied * 100).toFixed(1)} %`;
    said.push(`${share} of its runs of eight words are copied from the author.`);
    if (run) said.push(`The longest run that it copied has ${counted(run, "word")}.`);
  }
  return said;
}
