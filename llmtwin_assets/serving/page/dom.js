// Small helpers for the page. Text enters the page here and only as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** A new element: properties are set as they are, children are nodes or text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A copy of what a <template> holds. */
export const copyOf = (id) => byId(id).content.firstElementChild.cloneNode(true);

/** Tell a screen reader. Said one after the other: two answers may end together. */
export function announce(text) {
  const status = byId("status");
  status.append(make("p", {}, text));
  while (status.childElementCount > 4) status.firstElementChild.remove();
}

/** A link that leaves the page and tells the other side nothing. */
export function outward(address, text) {
  return make("a", { href: address.href, target: "_blank", rel: "noopener noreferrer" }, text);
}

/** A button that runs `act`. */
export function button(text, act, className = "quiet") {
  const element = make("button", { type: "button", className }, text);
  element.addEventListener("click", act);
  return element;
}

/** Parts with a dot between them; empty ones are left out. */
export function dotted(...parts) {
  const said = parts.filter(Boolean);
  return said.flatMap((part, index) => (index ? [" · ", part] : [part]));
}

/** Open a <dialog>; a press on what lies behind closes it. */
export function open(dialog) {
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };
}
