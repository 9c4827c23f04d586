// The explorer: what was spent in a stretch of time, on what and by whom, down to single charges and their lines.
import { go, into, link, said, where } from "./address.js";
import { MOST, bars } from "./charts.js";
import { ask, by, count, element, field, fill, moment, plus, text, usd } from "./parts.js";

const CHARGES = 50;
const HOUR = 3600, DAY = 24 * HOUR;
const MOST_BARS = 2000;
const NARROWS = [
  ...["team", "project", "key", "user", "organization", "model", "base_model", "requested_model", "operation"],
  ...["service_tier", "status", "basis", "reason", "replica"],
];
const LENGTHS = { day: "hour", week: "hour", month: "day", total: "month" };

const words = (name) => name.replaceAll("_", " ");
const chosen = () => Object.fromEntries(where().query);

// ── time: a label such as 2026-11-23T14:00 is a place on the axis as if its zone were UTC ──

const seconds = (label) => Date.parse(`${label.slice(0, 16)}${label.length > 10 ? "" : label.length > 7 ? "T00:00" : "-01T00:00"}Z`) / 1000;
const label = (at, interval) => new Date(at * 1000).toISOString().slice(0, { hour: 16, day: 10, month: 7 }[interval]);

function next(at, interval) {
  if (interval !== "month") return at + (interval === "hour" ? HOUR : DAY);
  const month = new Date(at * 1000);
  return month.setUTCMonth(month.getUTCMonth() + 1) / 1000;
}

function intervalOf(given) {
  if (!given.from || !given.to) return LENGTHS[given.window ?? "month"] ?? "day";
  const length = seconds(given.to) - seconds(given.from);
  return length <= 7 * DAY ? "hour" : length <= 120 * DAY ? "day" : "month";
}

// The stretch of time that a label names.
const begins = (said) => label(seconds(said), "hour") + said.slice(16); // an hour that comes twice says its offset
const ends = (said, interval) => label(next(seconds(said), interval), "hour") + said.slice(16);

// All that is chosen, in a stretch of time.
function zoomed(from, to) {
  const { window, after, charge, ...rest } = chosen();
  return { ...rest, from, to };
}

function zoom(low, high) {
  const interval = intervalOf(chosen());
  const step = interval === "hour" ? HOUR : DAY;
  const from = Math.floor((low + step / 2) / step) * step;
  const to = Math.max(Math.ceil((high - step / 2) / step) * step, from) + (interval === "month" ? 0 : step);
  go("explore", zoomed(label(from, "hour"), label(Math.max(to, from + step), "hour")));
}

// ── what is asked ──

function narrowed(given) {
  const query = new URLSearchParams();
  for (const name of NARROWS) if (name in given) query.set(name, given[name]);
  if (given.from) query.set("from", given.from);
  if (given.to) query.set("to", given.to);
  if (!given.from && !given.to) query.set("window", given.window ?? "month");
  return query;
}

// ── what is shown ──

function groups(name) {
  const onward = (row) => {
    const { after, charge, ...rest } = chosen();
    const by = NARROWS.find((other) => other !== name && !(other in rest)) ?? name;
    return { ...rest, by, [name]: row[name] ?? "" };
  };
  const swatch = (row) => element("span", "", `swatch c${Math.min(row.place, MOST)}`);
  return [
    { title: words(name), of: (row) => [swatch(row), link(text(row[name]), "explore", onward(row))], wrap: true },
    { title: "Cost", of: (row) => usd(row.cost_usd), number: true },
    { title: "Calls", of: (row) => count(row.requests), number: true },
    { title: "Input", of: (row) => count(row.input_tokens), number: true },
    { title: "Cached", of: (row) => count(row.cached_tokens), number: true },
    { title: "Output", of: (row) => count(row.output_tokens), number: true },
    { title: "Estimated", of: (row) => count(row.estimated), number: true },
    { title: "Unknown", of: (row) => count(row.unknown), number: true, mark: (row) => row.unknown > 0 },
  ];
}

const charges = [
  { title: "Time", of: (row) => link(moment(row.started_at), "explore", { ...chosen(), charge: row.id }, row.id) },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true, mark: (row) => row.cost_usd === null },
  { title: "Model", of: (row) => text(row.model ?? row.requested_model), wrap: true },
  { title: "Basis", of: (row) => row.basis, mark: (row) => row.basis === "estimated" || row.basis === "unknown" },
  { title: "Operation", of: (row) => row.operation },
  { title: "Status", of: (row) => text(row.status) },
  { title: "Team", of: (row) => text(row.team) },
  { title: "Key", of: (row) => text(row.key) },
];

const lines = [
  { title: "Unit", of: (row) => words(row.unit) },
  { title: "Quantity", of: (row) => count(row.quantity), number: true },
  { title: "Rate", of: (row) => (row.rate_usd === null ? "no price" : `${usd(row.rate_usd)} for ${count(row.per)}`), mark: (row) => row.rate_usd === null },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true, mark: (row) => row.cost_usd === null },
];

const facts = [
  { title: "What", of: (row) => words(row.name) },
  { title: "Value", of: (row) => row.value, wrap: true },
];

let open = null;

async function single(id) {
  by("charge-part").hidden = !id;
  const another = id && id !== open;
  open = id ?? null;
  if (!id) return;
  const charge = await ask(`charges/${encodeURIComponent(id)}`);
  const unpriced = Object.entries(charge.unpriced).map(([unit, quantity]) => ({ unit, quantity, rate_usd: null, cost_usd: null }));
  by("charge-title").textContent = `Charge ${charge.id}: ${usd(charge.cost_usd)}`;
  const rows = [...charge.lines, ...unpriced];
  fill("charge-lines", lines, rows.map((row, at) => ({ ...row, id: at })));
  by("charge-free").hidden = rows.length > 0;
  const { lines: _, unpriced: __, usage, ...rest } = charge;
  const values = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
  const flat = (value) => (typeof value === "object" ? Object.entries(value).map((pair) => pair.join("=")).join(", ") || "–" : String(value));
  fill("charge-facts", facts, values.map(([name, value]) => ({ name, value: flat(value) })));
  if (another) by("charge-part").focus();
}

function chips(given) {
  const made = NARROWS.filter((name) => name in given).map((name) => {
    const { [name]: value, after, charge, ...rest } = given;
    const item = document.createElement("li");
    const off = link(`${words(name)}: ${value || "none"} ×`, "explore", rest, "Take this filter away");
    off.ariaLabel = `Take away the filter ${words(name)}: ${value || "none"}`;
    item.append(off);
    return item;
  });
  by("explore-filters").replaceChildren(...made);
}

// Bars from the first to the last interval, also for those in which nothing was spent.
function chart(rows, name, interval, leading) {
  const first = Math.min(...rows.map((row) => seconds(row[interval])));
  const last = Math.max(...rows.map((row) => seconds(row[interval])));
  const at = [];
  for (let here = first; here <= last && at.length < MOST_BARS; here = next(here, interval)) at.push(here);
  const places = new Map(at.map((moment, place) => [moment, place]));
  const series = leading.map((row) => ({ name: text(row[name]), amounts: at.map(() => null) }));
  for (const row of rows) {
    const place = leading.findIndex((one) => one[name] === row[name]);
    const one = series[place < 0 ? series.length - 1 : place];
    const here = places.get(seconds(row[interval]));
    if (here !== undefined) one.amounts[here] = plus(one.amounts[here], row.cost_usd);
  }
  const step = interval === "month" ? 30 * DAY : next(0, interval);
  bars("explore-chart", at, step, series, (moment) => label(moment, interval).replace("T", " "), zoom);
}

export const still = true;

export async function refresh() {
  const given = chosen();
  const name = NARROWS.includes(given.by) ? given.by : "model";
  const interval = intervalOf(given);
  into("explore-form", new URLSearchParams(given.from || given.to ? { ...given, window: "custom" } : given));
  period();
  chips(given);
  const query = narrowed(given);
  const page = given.after ? `&after=${encodeURIComponent(given.after)}` : "";
  const [sums, times, found] = await Promise.all([
    ask(`spend?by=${name}&${query}`),
    ask(`spend?by=${name}&interval=${interval}&${query}`),
    ask(`charges?limit=${CHARGES}${page}&${query}`),
    single(given.charge),
  ]);
  const none = sums.rows.length === 0;
  by("explore-empty").hidden = !none;
  by("explore-sums").hidden = none;
  by("explore-total").textContent = usd(sums.total.cost_usd);
  const unknown = sums.total.unknown ? `, ${count(sums.total.unknown)} of unknown cost` : "";
  by("explore-calls").textContent = `${count(sums.total.requests)} calls${unknown}`;
  const leading = sums.rows.length > MOST ? [...sums.rows.slice(0, MOST - 1), { [name]: "all others" }] : sums.rows;
  by("explore-groups").replaceChildren(); // other columns than before
  fill("explore-groups", groups(name), sums.rows.map((row, at) => ({ ...row, place: at + 1, id: row[name] })));
  if (!none) chart(times.rows, name, interval, leading);
  const stretch = (said) => zoomed(begins(said), ends(said, interval));
  const columns = [
    { title: words(interval), of: (row) => link(row[interval].replace("T", " "), "explore", stretch(row[interval]), "Zoom in") },
    { title: words(name), of: (row) => text(row[name]), wrap: true },
    { title: "Cost", of: (row) => usd(row.cost_usd), number: true },
    { title: "Calls", of: (row) => count(row.requests), number: true },
  ];
  by("explore-times").replaceChildren();
  fill("explore-times", columns, times.rows.map((row, at) => ({ ...row, id: at })));
  fill("explore-charges", charges, found.charges);
  const older = by("explore-older");
  older.hidden = found.next === null;
  if (found.next) older.href = link("", "explore", { ...given, charge: undefined, after: found.next }).hash;
  by("explore-newest").hidden = !given.after;
  by("explore-newest").href = link("", "explore", { ...given, charge: undefined, after: undefined }).hash;
  by("charge-close").href = link("", "explore", { ...given, charge: undefined }).hash;
  return `days in ${sums.timezone}`;
}

// The fields of a period of one's own, only where one is chosen.
function period() {
  const form = by("explore-form");
  for (const each of form.querySelectorAll(".custom")) each.hidden = field(form, "window").value !== "custom";
}

export function prepare() {
  const form = by("explore-form");
  field(form, "window").addEventListener("change", period);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { narrow, value, from, to, window, ...rest } = said(form);
    const kept = Object.fromEntries(Object.entries(chosen()).filter(([name]) => NARROWS.includes(name)));
    const more = value === undefined ? {} : { [narrow]: value };
    field(form, "value").value = "";
    go("explore", { ...kept, ...rest, ...(window === "custom" ? { from, to } : { window }), ...more });
  });
}
