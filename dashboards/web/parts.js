// What all views are made of: the API, money, time, tables and forms. Money stays a decimal string: no number touches it.

export const text = (value) => (value === null || value === undefined || value === "" ? "–" : String(value));
export const count = (value) => (value === null ? "–" : value.toLocaleString("en"));
export const time = (iso) => new Date(iso).toLocaleTimeString("en", { hour12: false });
export const by = (id) => document.getElementById(id);

// A moment in the reader's own zone, to the minute.
export function moment(iso) {
  if (iso === null) return "never";
  return new Date(iso).toLocaleString("en", { dateStyle: "medium", timeStyle: "short", hour12: false });
}

// At least cents, and no digits invented or dropped.
export function usd(amount) {
  if (amount === null) return "unknown";
  const [whole, fraction = ""] = amount.split(".");
  return `$${BigInt(whole).toLocaleString("en")}.${fraction.padEnd(2, "0")}`;
}

// Rounded half up to the cent, for large figures only; the exact one stands in their title.
export function rounded(amount) {
  const [whole, fraction = ""] = amount.split(".");
  const cents = BigInt(whole + fraction.padEnd(2, "0").slice(0, 2)) + (fraction[2] >= "5" ? 1n : 0n);
  const digits = cents.toString().padStart(3, "0");
  return `$${BigInt(digits.slice(0, -2)).toLocaleString("en")}.${digits.slice(-2)}`;
}

function pico(amount) {
  const [whole, fraction = ""] = amount.split(".");
  return BigInt(whole + fraction.padEnd(12, "0"));
}

// Two amounts together, one of which may be missing yet.
export function plus(one, other) {
  const digits = (pico(one ?? "0") + pico(other)).toString().padStart(13, "0");
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`.replace(/\.?0+$/, "");
}

// What part one amount is of another, as a percentage for a drawing: at most 100.00%.
export function share(part, whole) {
  const of = pico(whole);
  const parts = of > 0n ? (pico(part) * 10000n) / of : pico(part) > 0n ? 10000n : 0n;
  const digits = (parts < 10000n ? parts : 10000n).toString().padStart(3, "0");
  return `${digits.slice(0, -2)}.${digits.slice(-2)}%`;
}

export function element(name, content, className) {
  const made = document.createElement(name);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

// Says it once: a screen reader reads what changes.
export function say(id, words) {
  if (by(id).textContent !== words) by(id).textContent = words;
}

// ── the API ──

async function answer(response) {
  const said = await response.json().catch(() => null);
  if (response.ok) return said;
  if (response.status === 401 && !by("login")) location.reload(); // the session is over: the console asks for the token
  throw new Error(said?.error?.message ?? `the console answers ${response.status}`);
}

export async function ask(path) {
  return answer(await fetch(`/api/v1/${path}`, { headers: { Accept: "application/json" } }));
}

// Changes something: `{name}` or `{id}` in the path becomes `of`.
export async function send(method, path, of, body) {
  const address = `/api/v1/${path.replace(/\{\w+\}/, () => encodeURIComponent(of))}`;
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return answer(await fetch(address, { method, headers, body: body && JSON.stringify(body) }));
}

// Sends a file as it is.
export async function upload(path, file) {
  return answer(await fetch(`/api/v1/${path}`, { method: "POST", headers: { Accept: "application/json" }, body: file }));
}

// ── tables ──

const shown = new WeakMap();

// A button for the row that it stands in, as that row is when it is pressed.
export function button(words, whom, act) {
  const made = element("button", words);
  made.type = "button";
  made.ariaLabel = `${words} ${whom}`;
  made.addEventListener("click", () => act(shown.get(made.closest("tr"))));
  return made;
}

function cell(column, row) {
  const marked = column.mark?.(row) ? "marked" : "";
  const classes = [column.number && "number", column.wrap && "wrap", marked].filter(Boolean).join(" ");
  const made = element("td", "", classes);
  made.dataset.title = column.title; // what a narrow screen shows in place of the head
  made.append(...[column.of(row)].flat());
  return made;
}

// Changes only the lines that came or went and the cells that say something else, so that the focus and what is selected stay.
export function fill(id, columns, rows) {
  const table = by(id);
  if (!table.rows.length) {
    const head = document.createElement("tr");
    for (const column of columns) {
      const made = element("th", column.title, column.number && "number");
      made.scope = "col";
      head.append(made);
    }
    table.append(head);
  }
  const marks = rows.map((row, at) => String(row.id ?? row.name ?? at));
  const before = new Map([...table.rows].slice(1).map((line) => [line.dataset.mark, line]));
  for (const [mark, line] of before) if (!marks.includes(mark)) line.remove();
  rows.forEach((row, at) => {
    const line = before.get(marks[at]) ?? document.createElement("tr");
    line.dataset.mark = marks[at];
    shown.set(line, row);
    if (table.rows[at + 1] !== line) table.rows[at].after(line);
    columns.forEach((column, place) => {
      const made = cell(column, row);
      const there = line.cells[place];
      if (!there) line.append(made);
      else if (!there.isEqualNode(made)) there.replaceWith(made);
    });
  });
  table.hidden = rows.length === 0;
}

// ── forms ──

// What the window hears when the API was told to change something.
export const CHANGED = "changed";

export const lines = (said) => said.split("\n").map((line) => line.trim()).filter(Boolean);

// `name=value` a line, as pairs.
export const pairs = (said) =>
  lines(said).map((line) => {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`tags: “${line}” is not of the form name=value`);
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });

// A whole number, or what was written instead: the API says what is wrong with it.
export const whole = (said) => (/^\d+$/.test(said.trim()) ? Number(said) : said.trim());

const DIMENSIONS = ["team", "key", "project", "user", "model"];

// The scope a form says, as the API reads it.
export function scopeOf(fields) {
  const scope = {};
  for (const dimension of DIMENSIONS) {
    const values = lines(fields.get(`scope.${dimension}`));
    if (values.length) scope[dimension] = values;
  }
  for (const [tag, value] of pairs(fields.get("scope.tag"))) (scope[`tag:${tag}`] ??= []).push(value);
  return scope;
}

export function scopeInto(form, scope) {
  const all = Object.entries(scope);
  for (const dimension of DIMENSIONS) field(form, `scope.${dimension}`).value = (scope[dimension] ?? []).join("\n");
  const tags = all.filter(([name]) => name.startsWith("tag:"));
  field(form, "scope.tag").value = tags
    .flatMap(([name, values]) => values.map((value) => `${name.slice(4)}=${value}`))
    .join("\n");
}

export function scopeShown(scope) {
  const all = Object.entries(scope).map(([name, values]) => `${name.replace("tag:", "")}: ${values.join(", ")}`);
  return all.join("; ") || "everything";
}

export const field = (form, name) => form.elements.namedItem(name);

// Sends a form by `act`, and says beside it how that went; a field that the API names gets the focus.
export function onSubmit(form, result, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const each of form.elements) each.ariaInvalid = null;
    const submit = form.querySelector("button[type=submit]");
    if (submit.ariaDisabled) return;
    submit.ariaDisabled = "true";
    try {
      say(result, "");
      say(result, await act(new FormData(form)));
      dispatchEvent(new Event(CHANGED));
    } catch (error) {
      say(result, `Not done: ${error.message}`);
      const wrong = field(form, error.message.match(/^[\w.]+(?=:)/)?.[0] ?? "");
      if (wrong) wrong.ariaInvalid = "true";
      wrong?.focus?.();
    }
    submit.ariaDisabled = null;
  });
}

// Runs `act` and says how it went where no form was sent.
export async function tell(result, act) {
  try {
    say(result, "");
    say(result, await act());
    dispatchEvent(new Event(CHANGED));
  } catch (error) {
    say(result, `Not done: ${error.message}`);
  }
}

// Asks before something is done: false, or what was written into the field, if there is one.
export function confirmed(question, words, wantsGrace = false) {
  const dialog = by("confirm");
  say("confirm-question", question);
  say("confirm-yes", words);
  by("confirm-grace").hidden = !wantsGrace;
  by("grace").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const said = () => (dialog.returnValue === "yes" ? { grace: by("grace").value.trim() } : false);
    dialog.addEventListener("close", () => resolve(said()), { once: true });
  });
}

export function prepare() {
  for (const place of document.querySelectorAll(".scope")) place.append(by("scope-fields").content.cloneNode(true));
  by("confirm-yes").addEventListener("click", () => by("confirm").close("yes"));
  by("confirm-no").addEventListener("click", () => by("confirm").close(""));
}
