// Keys that Farebox issued: made, rotated, revoked. A secret stands here once, until it is put away.
import { ask, button, by, confirmed, fill, lines, moment, onSubmit, pairs, send, tell, text, whole } from "./parts.js";

const WORDS = ["team", "project", "expires"];
const COUNTS = ["requests_per_minute", "tokens_per_minute"];
const LISTS = ["models", "endpoints"];

const inForce = (row) => row.state === "in force";

// The old secret of a rotated key, in its grace: an id of the key's, a dot and more.
const isOld = (row) => row.id.includes(".");

const columns = [
  { title: "Name", of: (row) => (isOld(row) ? `${row.name} (old secret)` : row.name), wrap: true },
  { title: "Secret", of: (row) => row.hint },
  { title: "Team", of: (row) => text(row.team) },
  { title: "Project", of: (row) => text(row.project) },
  { title: "Tags", of: (row) => text(Object.entries(row.tags).map((pair) => pair.join("=")).join(", ")), wrap: true },
  { title: "May use", of: (row) => [...row.models, ...row.endpoints].join(", ") || "everything", wrap: true },
  { title: "State", of: (row) => row.state, mark: (row) => !inForce(row) },
  { title: "Expires", of: (row) => moment(row.expires_at) },
  {
    title: "Change",
    of: (row) => [
      ...(inForce(row) && !isOld(row) ? [button("Rotate", row.name, rotate), " "] : []),
      ...(inForce(row) ? [button("Revoke", isOld(row) ? `the old secret of ${row.name}` : row.name, revoke)] : []),
    ],
  },
];

export async function refresh() {
  const { keys } = await ask("keys");
  fill("key-rows", columns, [...keys.filter(inForce), ...keys.filter((key) => !inForce(key))]);
  by("keys-empty").hidden = keys.length > 0;
}

function hand(made) {
  by("secret-name").textContent = made.name;
  by("secret-value").textContent = made.key;
  say("");
  by("secret").hidden = false;
  by("secret-copy").focus();
}

const say = (words) => {
  by("secret-result").textContent = words;
};

async function copy() {
  try {
    await navigator.clipboard.writeText(by("secret-value").textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(by("secret-value")); // a page that is not on localhost nor behind TLS may not copy
    say("It is selected: copy it with your keyboard.");
  }
}

function putAway() {
  by("secret-value").textContent = "";
  by("secret").hidden = true;
  by("key-result").textContent = "";
}

async function create(fields) {
  const body = { name: fields.get("name"), tags: Object.fromEntries(pairs(fields.get("tags"))) };
  for (const name of WORDS) if (fields.get(name).trim()) body[name] = fields.get(name).trim();
  for (const name of COUNTS) if (fields.get(name).trim()) body[name] = whole(fields.get(name));
  for (const name of LISTS) body[name] = lines(fields.get(name));
  hand(await send("POST", "keys", "", body));
  by("key-form").reset();
  return `${body.name} is made. Its secret is shown above, this once.`;
}

async function rotate(row) {
  const question = `Give ${row.name} another secret? Without a grace the old one is refused within a second.`;
  const yes = await confirmed(question, "Rotate", true);
  if (!yes) return;
  await tell("key-result", async () => {
    hand(await send("POST", "keys/{id}/rotate", row.id, yes.grace ? { grace: yes.grace } : {}));
    return `${row.name} has another secret. It is shown above, this once.`;
  });
}

async function revoke(row) {
  const question = `Revoke ${row.name} (${row.hint})? Its calls are refused from then on. This cannot be undone.`;
  if (!(await confirmed(question, "Revoke"))) return;
  await tell("key-result", async () => {
    await send("DELETE", "keys/{id}", row.id);
    return `${row.name} (${row.hint}) is revoked, on every replica within a second.`;
  });
}

export function prepare() {
  onSubmit(by("key-form"), "key-result", create);
  by("secret-copy").addEventListener("click", copy);
  by("secret-done").addEventListener("click", putAway);
}
