// Builds elements. Text of a recording enters the page only here, and only as text.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function make(name, className, ...content) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...content.map((part) => (part instanceof Node ? part : String(part))));
  return element;
}

export function draw(name, attributes, ...content) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content.map((part) => (part instanceof Node ? part : String(part))));
  return element;
}

export const count = (number) => number.toLocaleString("en");

// Invisible characters and characters that reverse the direction of text, which would make a line
// misleading.
const MISLEADING = new RegExp(
  "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f" +
    "\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]",
  "g",
);

export const clean = (text) => String(text).replace(MISLEADING, "\ufffd");

export const shortened = (text, max) => (text.length > max ? `${text.slice(0, max - 1)}…` : text);

// Returns a text with all matches highlighted, ignoring case.
export function marked(text, needle) {
  if (!needle) return [text];
  const parts = [];
  const low = text.toLowerCase();
  const wanted = needle.toLowerCase();
  let from = 0;
  // If lower case changes the length of the text, positions do not match: highlight nothing.
  if (low.length !== text.length) return [text];
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), make("mark", "", text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...parts, text.slice(from)];
}
