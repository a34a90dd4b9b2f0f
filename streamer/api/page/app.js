// The frame of all views: who is signed in, which view is shown (by the part of the address behind #), language
// and colours.

import { ask, get } from "/page/api.js";
import { h, put, say } from "/page/dom.js";
import { standing } from "/page/state.js";
import { store } from "/page/store.js";
import { currentLanguage, LANGUAGES, loadTexts, setLanguage, t } from "/page/text.js";
import { addView } from "/page/views/add.js";
import { cameraView } from "/page/views/camera.js";
import { countsView } from "/page/views/counts.js";
import { eventsView } from "/page/views/events.js";
import { healthView } from "/page/views/health.js";
import { modelsView } from "/page/views/models.js";
import { rulesView } from "/page/views/rules.js";
import { signInView } from "/page/views/sign_in.js";
import { wallView } from "/page/views/wall.js";

const VIEWS = { "": wallView, camera: cameraView, counts: countsView, events: eventsView, add: addView, health: healthView,
  rules: rulesView, models: modelsView };
const TABS = [["", "wall.title"], ["counts", "counts.title"], ["events", "events.title"], ["health", "health.title"],
  ["models", "models.title"]];
const THEMES = ["auto", "light", "dark"];
const page = document.getElementById("page");
const main = h("main", { id: "main", tabindex: "-1" });
const nav = h("nav", { class: "views" });
const fault = h("p", { class: "note bad", hidden: true, role: "alert" });
let leave = new AbortController();
const stood = new Map();

async function begin() {
  await loadTexts();
  window.addEventListener("hashchange", route);
  window.addEventListener("signed-out", () => { if (store.session !== null) signedOut(t("sign_in.ended")); });
  store.addEventListener("fault", ({ detail }) => showFault(detail));
  store.addEventListener("cameras", announce);
  try {
    signedIn(await get("/api/v1/session"));
  } catch (refusal) {
    signedOut(refusal.status === 0 ? t("fault.connection") : "");
  }
}

function signedIn(session) {
  store.begin(session);
  const skip = h("a", { class: "skip", href: "#main", onclick: skipTo }, t("skip"));
  put(page, skip, top(session), main);
  if (here().name === "sign-in") history.replaceState(null, "", "#/");
  route();
}

function signedOut(why) {
  leave.abort();
  store.end();
  const code = here().name === "sign-in" ? here().of : "";
  put(page, signInView(signedIn, why, code), h("div", { class: "tools narrow" }));
}

// `#/camera/gate?x=1`: the view's name, what it is of, and its choices.
function here() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  return { name, of: decoded(rest.join("/")), choices: new URLSearchParams(search ?? "") };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand: no camera has such a name
  }
}

function route() {
  const { name, of, choices } = here();
  if (store.session === null) return signedOut("");
  leave.abort();
  leave = new AbortController();
  const view = (VIEWS[name] ?? wallView)({ of, choices, signal: leave.signal, go });
  put(main, fault, view);
  markTab(name);
  const title = main.querySelector("h1");
  document.title = `${title.textContent} · streamer`;
  title.setAttribute("tabindex", "-1");
  title.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function go(hash) {
  location.hash = hash;
}

function top(session) {
  const brand = h("a", { class: "brand", href: "#/" }, h("img", { src: "/page/icon.svg", alt: "" }), "streamer",
    h("span", { class: "box" }, session.box));
  nav.setAttribute("aria-label", t("views"));
  put(nav, TABS.map(([name, key]) => h("a", { href: `#/${name}`, "data-view": name }, t(key))));
  return h("header", { class: "top" }, h("div", { class: "top-inner" }, brand, nav, tools(session)));
}

function tools(session) {
  const who = h("span", { class: "quiet small" }, `${session.name} (${t(`role.${session.role}`)})`);
  return h("div", { class: "tools" }, who, languageChoice(), themeChoice(),
    h("button", { type: "button", onclick: signOut }, t("sign_out")));
}

function languageChoice() {
  const options = LANGUAGES.map((name) => h("option", { value: name, selected: name === currentLanguage() }, name.toUpperCase()));
  const change = ({ target }) => { setLanguage(target.value); location.reload(); };
  return h("select", { "aria-label": t("language"), onchange: change }, options);
}

function themeChoice() {
  const current = localStorage.getItem("theme") ?? "auto";
  const options = THEMES.map((name) => h("option", { value: name, selected: name === current }, t(`theme.${name}`)));
  return h("select", { "aria-label": t("theme"), onchange: ({ target }) => setTheme(target.value) }, options);
}

function setTheme(name) {
  localStorage.setItem("theme", name);
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  window.dispatchEvent(new Event("theme"));
}

async function signOut() {
  try {
    await ask("DELETE", "/api/v1/session");
  } catch (refusal) {
    if (refusal.status !== 401) return showFault(refusal);
  }
  history.replaceState(null, "", "#/");
  signedOut("");
}

function markTab(name) {
  for (const link of nav.children) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function skipTo(event) {
  event.preventDefault();
  main.focus();
}

function showFault(refusal) {
  fault.hidden = refusal === null;
  if (refusal !== null) say(fault, refusal.status === 0 ? t("fault.connection") : refusal.message);
}

// A change of state is read aloud once, whichever view is shown.
function announce() {
  const changes = [];
  for (const camera of store.cameras) {
    const { key, word } = standing(camera);
    if (stood.has(camera.name) && stood.get(camera.name) !== key) changes.push(`${camera.name}: ${word}`);
    stood.set(camera.name, key);
  }
  if (changes.length > 0) document.getElementById("announce").textContent = changes.join(". ");
}

begin();
