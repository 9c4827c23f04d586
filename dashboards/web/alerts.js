// Alerts: what was raised, how each delivery stands, and the test of the channels.
import { ask, by, element, fill, moment, send, text } from "./parts.js";

const delivery = (each) => {
  const tried = each.attempts > 1 ? ` after ${each.attempts} attempts` : "";
  const words = `${each.channel}: ${each.result}${tried}${each.error ? ` (${each.error})` : ""}`;
  return element("div", words, each.result === "delivered" ? "" : "marked");
};

const columns = [
  { title: "Raised", of: (row) => moment(row.raised_at) },
  { title: "Level", of: (row) => row.level, mark: (row) => row.level !== "info" },
  { title: "What", of: (row) => [element("strong", row.title), element("div", row.text)], wrap: true },
  { title: "Team", of: (row) => text(row.team) },
  {
    title: "Deliveries",
    of: (row) => (row.deliveries.length ? row.deliveries.map(delivery) : "no channel for it"),
    wrap: true,
  },
];

export async function refresh() {
  const { alerts, channels } = await ask("alerts?limit=100");
  fill("alert-rows", columns, alerts);
  by("alerts-empty").hidden = alerts.length > 0;
  by("channels").textContent = channels.length ? `Channels: ${channels.join(", ")}.` : NOWHERE;
}

const NOWHERE =
  "Alerts go nowhere yet: set FAREBOX_ALERTS (Apprise URLs) or FAREBOX_ALERTMANAGER, and start Farebox again.";

async function test() {
  const results = by("alert-result");
  results.replaceChildren(element("li", "Sending…"));
  try {
    const { channels } = await send("POST", "alerts/test", "", {});
    const outcome = (each) => `${each.channel}: ${each.result}${each.error ? ` – ${each.error}` : ""}`;
    const all = channels.map((each) => element("li", outcome(each), each.result === "delivered" ? "" : "marked"));
    results.replaceChildren(...(all.length ? all : [element("li", NOWHERE)]));
  } catch (error) {
    results.replaceChildren(element("li", `Not sent: ${error.message}`, "marked"));
  }
}

export function prepare() {
  by("alert-test").addEventListener("click", test);
}
