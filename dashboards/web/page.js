// The page asks the console's API and shows what it says. Money stays a decimal string: no number touches it.

const REFRESH_MS = 5000;
const CALLS = 50;

const text = (value) => (value === null || value === undefined || value === "" ? "–" : String(value));
const count = (value) => value.toLocaleString("en");
const time = (iso) => new Date(iso).toLocaleTimeString("en", { hour12: false });

// At least cents, and no digits invented or dropped.
function usd(amount) {
  if (amount === null) return "unknown";
  const [whole, fraction = ""] = amount.split(".");
  return `$${BigInt(whole).toLocaleString("en")}.${fraction.padEnd(2, "0")}`;
}

// Rounded half up to the cent, for the large figures only; the exact one stands in their title.
function rounded(amount) {
  const [whole, fraction = ""] = amount.split(".");
  const cents = BigInt(whole + fraction.padEnd(2, "0").slice(0, 2)) + (fraction[2] >= "5" ? 1n : 0n);
  const digits = cents.toString().padStart(3, "0");
  return `$${BigInt(digits.slice(0, -2)).toLocaleString("en")}.${digits.slice(-2)}`;
}

function element(name, content, className) {
  const made = document.createElement(name);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

function fill(id, columns, rows) {
  const head = document.createElement("tr");
  for (const column of columns) {
    const cell = element("th", column.title, column.number && "number");
    cell.scope = "col";
    head.append(cell);
  }
  const lines = rows.map((row) => {
    const line = document.createElement("tr");
    for (const column of columns) {
      const marked = column.mark?.(row) ? "marked" : "";
      line.append(element("td", column.of(row), [column.number && "number", marked].filter(Boolean).join(" ")));
    }
    return line;
  });
  document.getElementById(id).replaceChildren(head, ...lines);
}

const sums = (title, name) => [
  { title, of: (row) => text(row[name]) },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true },
  { title: "Calls", of: (row) => count(row.requests), number: true },
  { title: "Input", of: (row) => count(row.input_tokens), number: true },
  { title: "Output", of: (row) => count(row.output_tokens), number: true },
  { title: "Unknown", of: (row) => count(row.unknown), number: true, mark: (row) => row.unknown > 0 },
];

const calls = [
  { title: "Time", of: (row) => time(row.started_at) },
  { title: "Model", of: (row) => text(row.model) },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true, mark: (row) => row.cost_usd === null },
  { title: "Basis", of: (row) => row.basis, mark: (row) => row.basis === "estimated" || row.basis === "unknown" },
  { title: "Operation", of: (row) => row.operation },
  { title: "Key", of: (row) => text(row.key) },
];

async function ask(path) {
  const response = await fetch(`/api/v1/${path}`, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`the console answers ${response.status}`);
  return response.json();
}

function total(id, sum) {
  const figure = document.getElementById(id);
  figure.textContent = rounded(sum.cost_usd);
  figure.title = usd(sum.cost_usd);
  const unknown = sum.unknown ? `, ${count(sum.unknown)} of unknown cost` : "";
  document.getElementById(`${id}-calls`).textContent = `${count(sum.requests)} calls${unknown}`;
}

async function refresh() {
  const status = document.getElementById("status");
  try {
    const [models, keys, month, last] = await Promise.all([
      ask("spend?window=day&by=model"),
      ask("spend?window=day&by=key"),
      ask("spend?window=month&by="),
      ask(`charges?limit=${CALLS}`),
    ]);
    total("today", models.total);
    total("month", month.total);
    fill("models", sums("Model", "model"), models.rows);
    fill("keys", sums("Key", "key"), keys.rows);
    fill("calls", calls, last.charges);
    document.getElementById("empty").hidden = last.charges.length > 0;
    status.textContent = `As of ${time(new Date().toISOString())}, days in ${models.timezone}`;
  } catch (error) {
    status.textContent = `No fresh figures: ${error.message}. Trying again.`;
  }
}

async function keepFresh() {
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, REFRESH_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || refresh());
keepFresh();
