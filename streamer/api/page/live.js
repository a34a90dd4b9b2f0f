// Events as they come. While the page is hidden nothing is held open; within MAX_HIDDEN_MS the stream is taken
// up where it was, and after that what is shown is read anew.

const MAX_HIDDEN_MS = 60_000;
const AGAIN_MS = 3000;
export const TYPES = [
  "streamer.line.crossed.v1", "streamer.zone.entered.v1", "streamer.zone.exited.v1",
  "streamer.zone.occupancy.v1", "streamer.camera.state.v1", "streamer.count.corrected.v1", "streamer.clip.v1",
  "streamer.alert.v1", "streamer.action.detected.v1", "streamer.scene.changed.v1", "streamer.journey.v1",
  "streamer.dwell.exceeded.v1", "streamer.occupancy.changed.v1", "streamer.queue.changed.v1",
  "streamer.flow.moved.v1", "streamer.flow.matrix.v1", "streamer.speed.measured.v1",
  "streamer.wrongway.detected.v1", "streamer.heatmap.measured.v1", "streamer.unique.counted.v1",
  "streamer.track.ended.v1", "streamer.counts.v1",
];

// Fires `event` (detail: the CloudEvent), `opened` (detail: whether something may be missing), `lost`.
export class Live extends EventTarget {
  #source = null;
  #last = "";
  #hiddenAt = 0;
  #timer = 0;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#look());
  }

  start() {
    this.stop();
    this.#last = "";
    this.#open();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #look() {
    if (document.hidden) {
      this.#hiddenAt = Date.now();
      this.stop();
    } else if (this.#source === null) {
      if (Date.now() - this.#hiddenAt > MAX_HIDDEN_MS) this.#last = "";
      this.#open();
    }
  }

  #open() {
    const after = this.#last === "" ? "" : `?after=${encodeURIComponent(this.#last)}`;
    const source = new EventSource(`/api/v1/events${after}`);
    const fresh = after === "";
    let missing = fresh;
    this.#source = source;
    source.onopen = () => {
      this.#tell("opened", missing);
      missing = this.#last === "";
    };
    source.onerror = () => this.#failed(source);
    source.addEventListener("gap", () => this.#tell("opened", true));
    for (const type of TYPES) source.addEventListener(type, (message) => this.#heard(message));
  }

  #heard(message) {
    this.#last = message.lastEventId;
    this.#tell("event", JSON.parse(message.data));
  }

  // The browser itself comes back from a broken connection, with the last id, and not from a refusal.
  #failed(source) {
    this.#tell("lost");
    if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
    this.stop();
    this.#timer = setTimeout(() => this.#open(), AGAIN_MS);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
