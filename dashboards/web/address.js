// What the page's address says: the view, and all that is chosen in it, so that an address can be kept and passed on.
import { by } from "./parts.js";

// The view that the address names, and what it says about it.
export function where() {
  const [name, query = ""] = location.hash.slice(1).split("?");
  return { name, query: new URLSearchParams(query) };
}

export function to(name, given) {
  const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
  return query.size ? `#${name}?${query}` : `#${name}`;
}

export const go = (name, given) => {
  location.hash = to(name, given);
};

export function link(words, name, given, title = "") {
  const made = document.createElement("a");
  made.textContent = words;
  made.href = to(name, given);
  if (title) made.title = title;
  return made;
}

const put = new Map();

// Puts what the address says into a form's fields, the fields' own defaults where it says nothing. Once for each address:
// what is being written stays when the figures are read again.
export function into(id, query) {
  if (put.get(id) === String(query)) return;
  put.set(id, String(query));
  for (const field of by(id).elements) {
    if (!field.name || field.type === "file") continue;
    const chosen = [...(field.options ?? [])].find((option) => option.defaultSelected)?.value;
    const value = query.get(field.name) ?? chosen ?? field.defaultValue ?? field.options?.[0]?.value ?? "";
    if (field.value !== value && field !== document.activeElement) field.value = value;
  }
}

// What of a form is filled in.
export function said(form) {
  const given = [...new FormData(form)].filter(([, value]) => typeof value === "string" && value.trim() !== "");
  return Object.fromEntries(given.map(([name, value]) => [name, value.trim()]));
}
