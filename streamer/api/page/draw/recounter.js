// What a line would have counted today, while it is dragged: one question at a time, and when it is answered the
// place where the line is by then. So the last place has the last word, and the box is not asked faster than it counts.

import { ask, cameraPath, nowMs } from "/page/api.js";
import { today } from "/page/text.js";

const AGAIN_MS = 80;
const BUSY = [429, 503]; // others are counting: it is asked again
const BUSY_MS = 1500;
const WHOLE_S = 10; // for a line that is at rest; one that is dragged gets what the API gives unasked

export class Recounter {
  #camera;
  #show;
  #wanted = null;
  #busy = false;

  // `show` gets { pending, document, fault } of the newest answer.
  constructor(camera, show, signal) {
    this.#camera = camera;
    this.#show = show;
    signal.addEventListener("abort", () => { this.#wanted = null; this.#show = () => {}; });
  }

  // `atRest`: as long as it takes to count the whole day.
  ask(rule, atRest) {
    this.#wanted = { rule, atRest };
    if (!this.#busy) this.#run();
  }

  stop() {
    this.#wanted = null;
  }

  async #run() {
    this.#busy = true;
    while (this.#wanted !== null) {
      const asked = this.#wanted;
      const answer = await this.#answer(asked);
      const last = this.#wanted === asked;
      if (this.#wanted === null) break; // nothing is drawn any more
      const busy = BUSY.includes(answer.fault?.status);
      if (last && !busy) this.#wanted = null;
      this.#show({ ...answer, pending: !last || busy });
      await new Promise((done) => { setTimeout(done, busy ? BUSY_MS : AGAIN_MS); });
    }
    this.#busy = false;
  }

  async #answer({ rule, atRest }) {
    const { points, left_to_right, right_to_left, classes, anchor } = rule;
    const line = JSON.parse(JSON.stringify({ points, left_to_right, right_to_left, classes, anchor }));
    const body = { line, since: `${today(nowMs())}T00:00`, ...(atRest ? { within_s: WHOLE_S } : {}) };
    try {
      return { document: await ask("POST", `${cameraPath(this.#camera)}/recount`, body) };
    } catch (fault) {
      return { fault };
    }
  }
}
