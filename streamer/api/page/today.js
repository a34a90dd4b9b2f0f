// Today's counts by camera, line and direction: the ledger's, and since then each event once. An answer says up to
// which event of each camera it counts (as_of), so that none is counted twice and none is missed.

import { get, nowMs, query } from "/page/api.js";
import { today } from "/page/text.js";

const MAX_HEARD = 5000;
const RAISES = {
  "streamer.line.crossed.v1": (data) => [data.line, data.direction],
  "streamer.zone.entered.v1": (data) => [data.zone, "entered"],
  "streamer.zone.exited.v1": (data) => [data.zone, "exited"],
};
export const CORRECTED = "streamer.count.corrected.v1";

export class Today {
  day = "";
  cameras = new Map(); // name -> { rows: [{ name, direction, count }], seen: what was seen of the day }
  #asOf = {};
  #heard = [];
  #asked = 0;

  // Raises Refusal.
  async load() {
    const day = today(nowMs());
    const asked = ++this.#asked;
    const document = await get(query("/api/v1/counts", { since: `${day}T00:00`, by: "camera,name,direction" }));
    if (asked !== this.#asked) return; // a later question is on its way
    this.day = day;
    this.#asOf = document.as_of;
    this.cameras = grouped(document);
    const later = this.#heard.filter((event) => this.#isLater(event));
    this.#heard = later;
    for (const event of later) this.#raise(event);
  }

  // Returns whether it changed a count.
  hear(event) {
    if (!(event.type in RAISES)) return false;
    this.#heard = [...this.#heard.slice(-MAX_HEARD), event];
    return this.#isLater(event) && this.#raise(event);
  }

  get isOver() {
    return this.day !== "" && this.day !== today(nowMs());
  }

  #isLater(event) {
    return event.data.seq > (this.#asOf[event.data.camera] ?? 0);
  }

  #raise(event) {
    if (today(Date.parse(event.time)) !== this.day) return false;
    const [name, direction] = RAISES[event.type](event.data);
    const of = entry(this.cameras, event.data.camera);
    const row = of.rows.find((one) => one.name === name && one.direction === direction);
    if (row === undefined) of.rows.push({ name, direction, count: 1 });
    else row.count += 1;
    return true;
  }
}

function grouped(document) {
  const found = new Map();
  for (const row of document.counts) entry(found, row.camera).rows.push({ ...row });
  for (const [camera, seen] of Object.entries(document.cameras)) entry(found, camera).seen = seen;
  return found;
}

function entry(cameras, name) {
  if (!cameras.has(name)) cameras.set(name, { rows: [], seen: null });
  return cameras.get(name);
}
