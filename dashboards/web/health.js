// How Farebox itself is: whether it takes calls, what waits on its disk, and which charges are no figures of OpenAI's.
import { link } from "./address.js";
import { ask, by, count, element, fill, moment, usd } from "./parts.js";

const size = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

const facts = [
  { title: "What", of: (row) => row.name },
  { title: "Value", of: (row) => row.value, wrap: true, mark: (row) => row.wrong },
];

const doubts = [
  { title: "Basis", of: (row) => link(row.basis, "explore", { window: "month", by: "model", basis: row.basis }), mark: (row) => row.basis === "unknown" },
  { title: "Reason", of: (row) => (row.reason === null ? "–" : link(row.reason, "explore", { window: "month", by: "model", reason: row.reason })), wrap: true },
  { title: "Calls", of: (row) => count(row.requests), number: true },
  { title: "Cost", of: (row) => usd(row.cost_usd), number: true },
];

async function ready() {
  const response = await fetch("/readyz");
  return { well: response.ok, words: (await response.text()).trim() };
}

export async function refresh() {
  const [state, journal, bases] = await Promise.all([ready(), ask("journal"), ask("spend?window=month&by=basis,reason")]);
  const { replica, under_way, waiting, oldest, aside, bytes, problem } = journal;
  const rows = [
    { name: "Takes calls", value: state.well ? "yes" : `no: ${state.words}`, wrong: !state.well },
    { name: "Replica that answers", value: replica },
    { name: "Calls under way", value: count(under_way) },
    { name: "Charges not in the ledger yet", value: count(waiting) },
    { name: "The oldest of them", value: oldest ? moment(oldest) : "–" },
    { name: "Records set aside", value: count(aside), wrong: aside > 0 },
    { name: "Journal on disk", value: size(bytes) },
    { name: "Trouble with the journal", value: problem ?? "none", wrong: problem !== null },
  ];
  by("health-state").replaceChildren(element("strong", state.well ? "All is well: calls are admitted and recorded." : `Calls are refused: ${state.words}`));
  by("health-state").classList.toggle("marked", !state.well);
  fill("journal-rows", facts, rows);
  fill("basis-rows", doubts, bases.rows.map((row) => ({ ...row, id: `${row.basis} ${row.reason}` })));
  by("health-empty").hidden = bases.rows.length > 0;
}
