// Signing in with a token in a form, or with one press where a link was opened.

import { ask } from "/page/api.js";
import { h, say } from "/page/dom.js";
import { t } from "/page/text.js";

export function signInView(signedIn, why, code) {
  const fault = h("p", { class: "fault", role: "alert", id: "sign-in-fault" }, why);
  const given = code === "" ? tokenField() : h("p", {}, t("sign_in.by_link"));
  const press = h("button", { class: "main" }, t("sign_in.press"));
  const submit = (event) => {
    event.preventDefault();
    signIn(code === "" ? { token: event.target.elements.token.value } : { link: code }, press, fault, signedIn);
  };
  const brand = h("div", { class: "brand" }, h("img", { src: "/page/icon.svg", alt: "" }), "streamer");
  const hint = h("p", { class: "quiet small" }, t(code === "" ? "sign_in.hint" : "sign_in.link_hint"));
  return h("main", {}, h("form", { class: "card sign-in", onsubmit: submit },
    brand, h("h1", {}, t("sign_in.title")), given, fault, press, hint));
}

function tokenField() {
  const input = h("input", {
    id: "token", name: "token", type: "password", required: true, autocomplete: "current-password",
    "aria-describedby": "sign-in-fault", autofocus: true,
  });
  return h("div", { class: "field" }, h("label", { for: "token" }, t("sign_in.token")), input);
}

async function signIn(secret, press, fault, signedIn) {
  press.disabled = true;
  say(fault, "");
  try {
    signedIn(await ask("POST", "/api/v1/session", secret));
  } catch (refusal) {
    say(fault, refusal.status === 0 ? t("fault.connection") : refusal.message);
    if ("link" in secret && refusal.status === 401) history.replaceState(null, "", "#/");
  } finally {
    press.disabled = false;
  }
}
