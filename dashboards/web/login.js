// The admin token for a session, and on to the page. It keeps no copy of the token.
import { by, onSubmit, send } from "./parts.js";

onSubmit(by("login"), "login-result", async (fields) => {
  await send("POST", "session", "", { token: fields.get("token") });
  by("login").reset();
  location.reload();
  return "Signed in.";
});
