// The price book: what every model costs on a day, and of one model all that was ever in force and where it was read.
import { go, into, link, said, to, where } from "./address.js";
import { ask, by, count, element, field, fill, text, usd } from "./parts.js";

const price = (amount) => (amount === null ? "–" : usd(amount));

// A source is a link where it is an address, and leads out only when somebody follows it.
function source(words) {
  const address = words.match(/^https:\/\/[^\s)]+/)?.[0];
  if (!address) return [text(words)];
  const made = element("a", words);
  made.href = address;
  made.rel = "noreferrer";
  return [made];
}

const doubt = (row) => (row.unverified ? `unverified: ${row.unverified_reason}` : row.verified ? `verified ${row.verified}` : "–");

const columns = [
  { title: "Model", of: (row) => link(row.model, "prices", { model: row.model }), wrap: true },
  { title: "Input", of: (row) => price(row.input_per_1m), number: true },
  { title: "Cached", of: (row) => price(row.cached_per_1m), number: true },
  { title: "Output", of: (row) => price(row.output_per_1m), number: true },
  { title: "Holds for", of: (row) => row.over || "all calls" },
  { title: "Since", of: (row) => row.since ?? "always" },
  { title: "Verified", of: (row) => (row.unverified ? "unverified" : text(row.verified)), mark: (row) => row.unverified },
  { title: "Shut down", of: (row) => text(row.retires), mark: (row) => row.retires !== null },
  { title: "From", of: (row) => row.list },
];

const rate = (row) => {
  const what = row.unit.replaceAll("_", " ");
  return row.usd_per_1m ? `${what}: ${usd(row.usd_per_1m)} per 1M` : `${what}: ${usd(row.rate_usd)} per ${count(row.per)}`;
};

// The rates of one row of a price list stand together.
function together(rows) {
  const found = new Map();
  for (const row of rows) {
    const id = [row.list, row.tier, row.since, row.context].join("|");
    if (!found.has(id)) found.set(id, { ...row, id, rates: [] });
    found.get(id).rates.push(rate(row));
  }
  return [...found.values()];
}

const rates = [
  { title: "From", of: (row) => row.list },
  { title: "Tier", of: (row) => row.tier },
  { title: "Since", of: (row) => row.since ?? "always" },
  { title: "Prices", of: (row) => row.rates.map((rate) => element("div", rate)) },
  { title: "Holds for", of: (row) => row.context || "all calls" },
  { title: "Checked", of: doubt, wrap: true, mark: (row) => row.unverified },
  { title: "Read at", of: (row) => source(row.source), wrap: true },
  { title: "Remarks", of: (row) => text([row.terms, row.note].filter(Boolean).join("; ")), wrap: true },
];

export const still = true;

async function one(model) {
  const { rows, price_book, retires } = await ask(`prices?model=${encodeURIComponent(model)}`);
  by("price-title").textContent = model;
  by("price-ends").textContent = retires ? `It is shut down on ${retires}.` : "";
  fill("price-rows", rates, together(rows));
  return `price book ${price_book}`;
}

async function all(query) {
  const { rows, price_book } = await ask(`prices?tier=${query.get("tier") ?? "default"}${query.get("on") ? `&on=${query.get("on")}` : ""}`);
  const part = (query.get("name") ?? "").toLowerCase();
  const meant = rows.filter((row) => row.model.toLowerCase().includes(part));
  fill("prices-rows", columns, meant.map((row) => ({ ...row, id: `${row.model} ${row.over}` })));
  by("prices-empty").hidden = meant.length > 0;
  return `${meant.length} of ${rows.length} prices, price book ${price_book}`;
}

export async function refresh() {
  const { query } = where();
  const model = query.get("model");
  by("price-part").hidden = !model;
  by("prices-part").hidden = Boolean(model);
  into("prices-form", query);
  return model ? one(model) : all(query);
}

export function prepare() {
  const form = by("prices-form");
  const show = () => history.replaceState(null, "", to("prices", said(form)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go("prices", said(form));
  });
  field(form, "name").addEventListener("input", () => {
    show();
    refresh();
  });
}
