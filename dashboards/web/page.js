// The page shows one view at a time, the one its address names, and keeps it fresh while somebody can see it.
import * as alerts from "./alerts.js";
import * as budgets from "./budgets.js";
import * as keys from "./keys.js";
import * as limits from "./limits.js";
import { where } from "./address.js";
import * as charts from "./charts.js";
import * as explore from "./explore.js";
import * as finetune from "./finetune.js";
import * as health from "./health.js";
import { CHANGED, ask, by, prepare, say, send, time } from "./parts.js";
import * as prices from "./prices.js";
import * as spend from "./spend.js";

const REFRESH_MS = 5000;
const IN_FORCE_MS = 1000; // a replica knows of a change within so long

const views = { spend, explore, budgets, keys, limits, prices, finetune, alerts, health };
const chosen = () => (Object.hasOwn(views, where().name) ? where().name : "spend");

async function refresh() {
  const name = chosen();
  try {
    const more = await views[name].refresh();
    say("trouble", "");
    say("status", [`As of ${time(new Date().toISOString())}`, more].filter(Boolean).join(", "));
  } catch (error) {
    say("trouble", `No fresh figures: ${error.message}. Trying again.`);
  }
}

function show() {
  for (const name of Object.keys(views)) {
    by(name).hidden = name !== chosen();
    by(`to-${name}`).ariaCurrent = name === chosen() ? "page" : null;
  }
  refresh();
}

async function keepFresh() {
  if (!document.hidden && !views[chosen()].still) await refresh();
  setTimeout(keepFresh, REFRESH_MS);
}

prepare();
for (const view of Object.values(views)) view.prepare?.();
show();
let before = chosen();
window.addEventListener("hashchange", () => {
  show();
  if (before === chosen()) return; // another part of the same view
  before = chosen();
  by(before).focus({ preventScroll: true });
  scrollTo(0, 0);
});
charts.prepare(() => refresh());
by("sign-out").addEventListener("click", async () => {
  await send("DELETE", "session", "");
  location.reload();
});
ask("session").then(({ session }) => {
  by("sign-out").hidden = !session;
});
window.addEventListener(CHANGED, () => {
  refresh();
  setTimeout(refresh, IN_FORCE_MS);
});
document.addEventListener("visibilitychange", () => document.hidden || views[chosen()].still || refresh());
setTimeout(keepFresh, REFRESH_MS);
