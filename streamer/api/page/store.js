// What every view may show: who is signed in, the cameras, today's counts, the stream of events.

import { get, setCsrf } from "/page/api.js";
import { Live } from "/page/live.js";
import { setZone } from "/page/text.js";
import { CORRECTED, Today } from "/page/today.js";

const POLL_MS = 2000;
const RELOAD_MS = 60_000; // today's counts, for what was seen of the day

// Fires `cameras`, `counts`, `event` (detail: the CloudEvent), `stream` (detail: up or not), `fault` (detail).
class Store extends EventTarget {
  session = null;
  cameras = null;
  today = new Today();
  streaming = false;
  live = new Live();
  #timer = 0;
  #loadedAt = 0;

  constructor() {
    super();
    this.live.addEventListener("event", ({ detail }) => this.#heard(detail));
    this.live.addEventListener("opened", ({ detail }) => this.#opened(detail));
    this.live.addEventListener("lost", () => this.#streams(false));
    document.addEventListener("visibilitychange", () => document.hidden || this.#poll());
  }

  begin(session) {
    this.session = session;
    setCsrf(session.csrf);
    setZone(session.timezone);
    this.live.start();
    this.#poll();
  }

  end() {
    this.session = null;
    this.cameras = null;
    this.today = new Today();
    setCsrf(null);
    clearTimeout(this.#timer);
    this.live.stop();
  }

  may(role) {
    const roles = ["viewer", "operator", "admin"];
    return roles.indexOf(this.session.role) >= roles.indexOf(role);
  }

  camera(name) {
    return this.cameras?.find((one) => one.name === name) ?? null;
  }

  async refresh() {
    await this.#try(async () => {
      this.cameras = (await get("/api/v1/cameras")).cameras;
      this.#tell("cameras");
    });
  }

  async #poll() {
    clearTimeout(this.#timer);
    if (this.session === null || document.hidden) return;
    await this.refresh();
    if (this.today.isOver || Date.now() - this.#loadedAt > RELOAD_MS) await this.#loadCounts();
    clearTimeout(this.#timer);
    if (this.session !== null) this.#timer = setTimeout(() => this.#poll(), POLL_MS);
  }

  async #loadCounts() {
    await this.#try(async () => {
      await this.today.load();
      this.#loadedAt = Date.now();
      this.#tell("counts");
    });
  }

  async #try(question) {
    try {
      await question();
      this.#tell("fault", null);
    } catch (refusal) {
      this.#tell("fault", refusal);
    }
  }

  #opened(missing) {
    this.#streams(true);
    if (missing) this.#loadCounts();
  }

  #streams(up) {
    this.streaming = up;
    this.#tell("stream", up);
  }

  #heard(event) {
    this.#streams(true);
    if (event.type === CORRECTED) this.#loadCounts();
    else if (this.today.hear(event)) this.#tell("counts", event);
    if (event.type === "streamer.camera.state.v1") this.refresh();
    this.#tell("event", event);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

export const store = new Store();
