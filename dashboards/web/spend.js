// What was spent today and this month, on what and by whom.
import { link } from "./address.js";
import { ask, by, count, fill, rounded, text, time, usd } from "./parts.js";

const CALLS = 50;

const sums = (title, name) => [
  { title, of: (row) => link(text(row[name]), "explore", { window: "day", by: "team", [name]: row[name] ?? "" }), wrap: name === "model" },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true },
  { title: "Calls", of: (row) => count(row.requests), number: true },
  { title: "Input", of: (row) => count(row.input_tokens), number: true },
  { title: "Output", of: (row) => count(row.output_tokens), number: true },
  { title: "Unknown", of: (row) => count(row.unknown), number: true, mark: (row) => row.unknown > 0 },
];

const calls = [
  { title: "Time", of: (row) => link(time(row.started_at), "explore", { window: "day", charge: row.id }, row.id) },
  { title: "Model", of: (row) => text(row.model), wrap: true },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true, mark: (row) => row.cost_usd === null },
  { title: "Basis", of: (row) => row.basis, mark: (row) => row.basis === "estimated" || row.basis === "unknown" },
  { title: "Operation", of: (row) => row.operation },
  { title: "Key", of: (row) => text(row.key) },
];

function total(id, sum) {
  const figure = by(id);
  figure.textContent = rounded(sum.cost_usd);
  figure.title = usd(sum.cost_usd);
  const unknown = sum.unknown ? `, ${count(sum.unknown)} of unknown cost` : "";
  by(`${id}-calls`).textContent = `${count(sum.requests)} calls${unknown}`;
}

export async function refresh() {
  const [models, keys, month, last] = await Promise.all([
    ask("spend?window=day&by=model"),
    ask("spend?window=day&by=key"),
    ask("spend?window=month&by="),
    ask(`charges?limit=${CALLS}`),
  ]);
  total("today", models.total);
  total("month", month.total);
  fill("models", sums("Model", "model"), models.rows);
  fill("key-sums", sums("Key", "key"), keys.rows);
  fill("calls", calls, last.charges);
  by("empty").hidden = last.charges.length > 0;
  return `days in ${models.timezone}`;
}
