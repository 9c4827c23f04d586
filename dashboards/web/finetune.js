// Fine-tuning before it is paid for: what training on a file costs, whether it is worth it, and until when.
import { go, into, said, where } from "./address.js";
import { lines } from "./charts.js";
import { ask, by, count, element, field, fill, onSubmit, rounded, say, send, text, upload, usd, whole } from "./parts.js";

const known = (amount) => (amount === null ? "unknown" : usd(amount));
const cents = (amount) => (amount === null ? "unknown" : Object.assign(element("span", rounded(amount)), { title: usd(amount) }));
const tokens = (number) => (number === null ? "–" : count(number));
const range = (ends, show) => (ends ? ` (between ${show(ends[0])} and ${show(ends[1])})` : "");
const list = (id, words) => by(id).replaceChildren(...words.map((each) => element("li", each)));

// ── what training on a file costs ──

const facts = [
  { title: "What", of: (row) => row.name },
  { title: "Value", of: (row) => row.value, wrap: true },
];

const problems = [
  { title: "Line", of: (row) => text(row.line), number: true },
  { title: "How bad", of: (row) => row.severity, mark: (row) => row.severity === "error" },
  { title: "What is wrong", of: (row) => row.message, wrap: true },
];

let file = null;

function take(picked) {
  file = picked ?? null;
  by("file-name").textContent = file ? `${file.name}, ${count(Math.ceil(file.size / 1024))} KiB` : "or drop it here";
}

async function estimate(fields) {
  if (!file?.size) throw new Error("file: choose a training file that is not empty, or drop it on the field");
  const query = new URLSearchParams();
  for (const name of ["model", "epochs", "method", "hours"]) if (fields.get(name).trim()) query.set(name, fields.get(name).trim());
  by("estimate-part").hidden = true;
  say("estimate-result", `Counting the tokens of ${file.name}…`);
  const made = await upload(`finetune/estimate?${query}`, file);
  const spread = made.uncertainty;
  fill("estimate-rows", facts, [
    { name: "Cost", value: known(made.cost_usd) + range(spread.cost_usd, usd) },
    { name: "Model and method", value: `${made.model}, ${made.method}` },
    { name: "Examples", value: count(made.examples) },
    { name: "Billable tokens", value: tokens(made.billable_tokens) + range(spread.billable_tokens, tokens) },
    { name: "Epochs", value: made.epochs === null ? "–" : `${made.epochs}, chosen by ${made.epochs_chosen_by === "you" ? "you" : "OpenAI's rule"}` },
    { name: "Price", value: made.price_usd_per_mtok ? `${usd(made.price_usd_per_mtok)} per 1M tokens` : made.price_usd_per_hour ? `${usd(made.price_usd_per_hour)} per hour` : text(made.unpriced) },
    { name: "Price read at", value: text([made.price_source, made.price_verified_on].filter(Boolean).join(", ")) },
  ]);
  fill("estimate-problems", problems, made.problems.map((row, at) => ({ ...row, id: at })));
  by("estimate-fine").hidden = made.problems.length > 0;
  list("estimate-warnings", made.warnings);
  by("estimate-part").hidden = false;
  by("estimate-onward").hidden = made.billable_tokens === null;
  by("estimate-onward").href = onward(made);
  return made.errors ? `${count(made.errors)} examples would be refused.` : "Counted.";
}

// The break-even with what was estimated.
function onward(made) {
  const query = new URLSearchParams(where().query);
  query.set("model", made.model);
  query.set("training_tokens", made.billable_tokens);
  return `#finetune?${query}`;
}

// ── whether it is worth it ──

const MAIN = ["calls", "months", "model", "input_tokens", "cached_tokens", "output_tokens", "tuned_input_tokens", "training_tokens", "training_usd"];
const NEEDED = ["calls", "model", "input_tokens", "output_tokens"];
let numbers = new Set();
let asked = null;

const ways = [
  { title: "Way", of: (row) => `${row.way}: ${row.model}`, wrap: true },
  { title: "A month", of: (row) => cents(row.monthly_usd), number: true },
  { title: "A call", of: (row) => known(row.call_usd), number: true },
  { title: "Once", of: (row) => known(row.once_usd), number: true },
  { title: "In all", of: (row) => cents(row.total_usd), number: true },
  { title: "Pays back after", of: (row) => (row.unpriced ?? (row.payback_months === null ? "–" : `${row.payback_months} months`)), wrap: true },
];

const crossings = [
  { title: "Between", of: (row) => row.between.join(" and "), wrap: true },
  { title: "From so many calls a month", of: (row) => (row.calls === null ? "always" : count(row.calls)), number: true },
  { title: "Cheaper with fewer", of: (row) => row.cheaper_below },
  { title: "Cheaper with more", of: (row) => row.cheaper_above },
];

// A field for each assumption that the API takes, as it describes them.
function fields(schema) {
  for (const [name, { description, type, anyOf }] of Object.entries(schema.properties)) {
    if (name === "traffic") continue;
    const kinds = [type, ...(anyOf ?? []).map((each) => each.type)];
    if (kinds.includes("integer")) numbers.add(name);
    const label = element("label", `${(description ?? name.replaceAll("_", " ")).replaceAll("`", "")} `);
    const input = document.createElement("input");
    input.name = name;
    input.required = false;
    if (name !== "model" && kinds.includes("integer")) input.inputMode = "numeric";
    label.append(input);
    by(MAIN.includes(name) ? "breakeven-main" : "breakeven-more").append(label);
  }
}

const assumed = () => [...by("breakeven-form").elements].filter((each) => each.name && each.name !== "traffic");

async function compare(query) {
  const given = Object.fromEntries(query);
  const { traffic, ...rest } = given;
  by("breakeven-part").hidden = true;
  by("finetune-empty").hidden = false;
  if (!traffic && !NEEDED.every((name) => name in rest)) return "";
  const body = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, numbers.has(name) ? whole(value) : value]));
  const made = await send("POST", "finetune/breakeven", "", traffic ? { ...body, traffic: { model: traffic } } : body);
  for (const input of assumed()) {
    const it = made.assumptions.find((each) => each.name === input.name);
    input.placeholder = it ? `${it.value} (${it.source})` : "";
  }
  fill("breakeven-ways", ways, made.ways.map((row) => ({ ...row, id: row.way })));
  fill("breakeven-crossings", crossings, made.crossings.map((row) => ({ ...row, id: row.between.join() })));
  const priced = made.ways.filter((row) => row.unpriced === null).map((row) => row.way);
  const points = [{ title: "Calls a month", of: (row) => count(row.calls), number: true }].concat(
    priced.map((way) => ({ title: way, of: (row) => cents(row[way]), number: true })),
  );
  by("breakeven-points").replaceChildren();
  fill("breakeven-points", points, made.curve.map((row) => ({ ...row, id: row.calls })));
  list("breakeven-warnings", made.warnings);
  by("breakeven-part").hidden = false;
  by("finetune-empty").hidden = true;
  const at = made.curve.map((point) => point.calls);
  lines("breakeven-chart", at, priced.map((way) => ({ name: way, amounts: made.curve.map((point) => point[way]) })), count);
  return made.cheapest ? `At ${made.calls} calls a month, ${made.cheapest} costs least.` : "None of the ways has a known price.";
}

// ── until when ──

const inUse = [
  { title: "Model", of: (row) => row.model, wrap: true },
  { title: "Ends", of: (row) => row.days_left > 0 ? `${row.ends_on}, in ${row.days_left} days` : `${row.ends_on}: over`, mark: () => true },
  { title: "Calls", of: (row) => count(row.calls), number: true },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true },
  { title: "The same on", of: (row) => row.replacements.map((one) => `${one.model}: ${usd(one.cost_usd)}`).join("; ") || "–", wrap: true },
];

const calendar = [
  { title: "Day", of: (row) => row.on },
  { title: "In days", of: (row) => (row.days_left > 0 ? count(row.days_left) : "over"), number: true },
  { title: "What", of: (row) => (row.models.length ? `${row.models.join(", ")}: ${row.what}` : row.what), wrap: true },
  { title: "For whom", of: (row) => row.whom, wrap: true },
];

export const still = true;

export async function refresh() {
  const [used, ends, api] = await Promise.all([
    ask("spend?window=month&by=model"),
    ask("retirements"),
    asked ?? ask("openapi.json"),
  ]);
  if (!asked) fields(api.paths["/api/v1/finetune/breakeven"].post.requestBody.content["application/json"].schema);
  asked = api;
  const models = used.rows.map((row) => row.model).filter(Boolean);
  by("models-used").replaceChildren(...models.map((model) => Object.assign(document.createElement("option"), { value: model })));
  fill("ending-rows", inUse, ends.in_use.map((row) => ({ ...row, id: row.model })));
  by("ending-none").hidden = ends.in_use.length > 0;
  fill("calendar-rows", calendar, ends.calendar.filter((row) => row.days_left > -90).map((row, at) => ({ ...row, id: at })));
  const { query } = where();
  into("breakeven-form", query);
  try {
    say("breakeven-result", await compare(query));
  } catch (error) {
    say("breakeven-result", `Not done: ${error.message}`);
  }
}

export function prepare() {
  onSubmit(by("estimate-form"), "estimate-result", estimate);
  const chosen = field(by("estimate-form"), "file");
  chosen.addEventListener("change", () => take(chosen.files[0]));
  const place = by("drop");
  for (const kind of ["dragenter", "dragover"]) {
    place.addEventListener(kind, (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
  }
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  by("breakeven-form").addEventListener("submit", (event) => {
    event.preventDefault();
    go("finetune", said(by("breakeven-form")));
  });
}
