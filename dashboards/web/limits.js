// Rate limits: those in force, and setting and deleting them.
import { ask, button, by, confirmed, count, field, fill, onSubmit, scopeInto, scopeOf, scopeShown } from "./parts.js";
import { send, tell, whole } from "./parts.js";

const MEASURES = ["requests_per_minute", "tokens_per_minute", "concurrent_requests"];
const form = by("limit-form");
let names = new Set();
let edited = null;

// Those of keys were set with the key, and go with it.
const ofKey = (row) => row.name.startsWith("key/");

const columns = [
  { title: "Name", of: (row) => row.name, wrap: true },
  { title: "Covers", of: (row) => scopeShown(row.scope), wrap: true },
  { title: "Requests per minute", of: (row) => count(row.requests_per_minute), number: true },
  { title: "Tokens per minute", of: (row) => count(row.tokens_per_minute), number: true },
  { title: "Requests at a time", of: (row) => count(row.concurrent_requests), number: true },
  {
    title: "Change",
    of: (row) =>
      ofKey(row) ? "set with its key" : [button("Edit", row.name, edit), " ", button("Delete", row.name, remove)],
  },
];

export async function refresh() {
  const { limits } = await ask("limits");
  names = new Set(limits.map((limit) => limit.name));
  fill("limit-rows", columns, limits);
  by("limits-empty").hidden = limits.length > 0;
}

function begin(name) {
  edited = name;
  field(form, "name").readOnly = name !== null;
  by("limit-title").textContent = name === null ? "New limit" : `Edit ${name}`;
  by("limit-cancel").hidden = name === null;
}

function edit(row) {
  begin(row.name);
  for (const name of ["name", ...MEASURES]) field(form, name).value = row[name] ?? "";
  scopeInto(form, row.scope);
  field(form, MEASURES[0]).focus();
}

async function remove(row) {
  if (!(await confirmed(`Delete the limit ${row.name}? Calls that it refuses will pass.`, "Delete"))) return;
  await tell("limit-result", async () => {
    await send("DELETE", "limits/{name}", row.name);
    if (edited === row.name) reset();
    return `${row.name} is deleted. No replica applies it within a second.`;
  });
}

function reset() {
  form.reset();
  begin(null);
}

async function save(fields) {
  const name = fields.get("name");
  const again = `There is a limit ${name}. Replace it as a whole?`;
  if (edited === null && names.has(name) && !(await confirmed(again, "Replace"))) return "Nothing was changed.";
  const given = MEASURES.filter((measure) => fields.get(measure).trim());
  const measures = Object.fromEntries(given.map((measure) => [measure, whole(fields.get(measure))]));
  await send("PUT", "limits/{name}", name, { ...measures, scope: scopeOf(fields) });
  reset();
  return `${name} is saved, and in force within a second.`;
}

export function prepare() {
  onSubmit(form, "limit-result", save);
  by("limit-cancel").addEventListener("click", reset);
}
