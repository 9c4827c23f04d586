// The page shows one view at a time, the one its address names, and keeps it fresh while somebody can see it.
import * as alerts from "./alerts.js";
import * as budgets from "./budgets.js";
import * as keys from "./keys.js";
import * as limits from "./limits.js";
import { CHANGED, by, prepare, say, time } from "./parts.js";
import * as spend from "./spend.js";

const REFRESH_MS = 5000;
const IN_FORCE_MS = 1000; // a replica knows of a change within so long

const views = { spend, budgets, keys, limits, alerts };
const chosen = () => (Object.hasOwn(views, location.hash.slice(1)) ? location.hash.slice(1) : "spend");

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
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, REFRESH_MS);
}

prepare();
for (const view of Object.values(views)) view.prepare?.();
show();
window.addEventListener("hashchange", () => {
  show();
  by(chosen()).focus({ preventScroll: true });
  scrollTo(0, 0);
});
window.addEventListener(CHANGED, () => {
  refresh();
  setTimeout(refresh, IN_FORCE_MS);
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());
setTimeout(keepFresh, REFRESH_MS);
