// Budgets: where they stand, and setting and deleting them.
import { ask, button, by, confirmed, element, field, fill, moment, onSubmit, scopeInto, scopeOf, scopeShown } from "./parts.js";
import { send, share, tell, usd, whole } from "./parts.js";

const form = by("budget-form");
let names = new Set();
let edited = null;

// Spent and held of the limit, drawn; the same stands beside it in words.
function bar(row) {
  const drawing = by("bar").content.firstElementChild.cloneNode(true);
  const [, spent, held] = drawing.children;
  spent.width.baseVal.valueAsString = share(row.spent_usd, row.limit_usd);
  held.x.baseVal.valueAsString = share(row.spent_usd, row.limit_usd);
  held.width.baseVal.valueAsString = share(row.held_usd, row.limit_usd);
  drawing.classList.toggle("over", over(row));
  return drawing;
}

const over = (row) => row.percent === null || row.percent >= 100;

const columns = [
  { title: "Name", of: (row) => row.name, wrap: true },
  { title: "Covers", of: (row) => scopeShown(row.scope), wrap: true },
  { title: "Window", of: (row) => row.window },
  { title: "Mode", of: (row) => (row.mode === "hard" ? "hard: refuses" : "soft: tells") },
  {
    title: "Spent, held, limit",
    of: (row) => {
      const held = `, ${usd(row.held_usd)} held`;
      return [bar(row), element("span", `${usd(row.spent_usd)} spent${held}, of ${usd(row.limit_usd)}`)];
    },
  },
  { title: "Spent", of: (row) => (row.percent === null ? "–" : `${row.percent}%`), number: true, mark: over },
  { title: "Resets", of: (row) => moment(row.until) },
  { title: "Change", of: (row) => [button("Edit", row.name, edit), " ", button("Delete", row.name, remove)] },
];

export async function refresh() {
  const { budgets } = await ask("budgets");
  names = new Set(budgets.map((budget) => budget.name));
  fill("budget-rows", columns, budgets);
  by("budgets-empty").hidden = budgets.length > 0;
}

function begin(name) {
  edited = name;
  field(form, "name").readOnly = name !== null;
  by("budget-title").textContent = name === null ? "New budget" : `Edit ${name}`;
  by("budget-cancel").hidden = name === null;
}

function edit(row) {
  begin(row.name);
  for (const name of ["name", "limit_usd", "window", "mode"]) field(form, name).value = row[name];
  field(form, "alert").value = row.alert.join(", ");
  scopeInto(form, row.scope);
  field(form, "limit_usd").focus();
}

async function remove(row) {
  const warning = `Delete the budget ${row.name}? Calls that it refuses will pass. Its spend stays in the ledger.`;
  if (!(await confirmed(warning, "Delete"))) return;
  await tell("budget-result", async () => {
    await send("DELETE", "budgets/{name}", row.name);
    if (edited === row.name) reset();
    return `${row.name} is deleted. No replica counts it within a second.`;
  });
}

function reset() {
  form.reset();
  begin(null);
}

async function save(fields) {
  const name = fields.get("name");
  const again = `There is a budget ${name}. Replace it as a whole?`;
  if (edited === null && names.has(name) && !(await confirmed(again, "Replace"))) return "Nothing was changed.";
  const alert = fields.get("alert").split(/[\s,%]+/).filter(Boolean).map(whole);
  const body = { limit_usd: fields.get("limit_usd"), window: fields.get("window"), mode: fields.get("mode"), alert };
  await send("PUT", "budgets/{name}", name, { ...body, scope: scopeOf(fields) });
  reset();
  return `${name} is saved, and in force within a second.`;
}

export function prepare() {
  onSubmit(form, "budget-result", save);
  by("budget-cancel").addEventListener("click", reset);
}
