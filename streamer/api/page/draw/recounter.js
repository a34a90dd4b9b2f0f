// What a line or zone would have counted today, while it is dragged: one question at a time, and when it is answered the
// place where the line is by then. So the last place has the last word, and the box is not asked faster than it counts.

import { afterBusy, ask, cameraPath, isBusy, nowMs } from "/page/api.js";
import { today } from "/page/text.js";

const AGAIN_MS = 80;
const WITHIN_S = [0.8, 3, 10]; // how long each may take; the later ones for one that is at rest

export class Recounter {
  #camera;
  #show;
  #wanted = null;
  #busy = false;
  #long = null; // what would end the question that may take long

  // `show` gets { pending, document, fault } of the newest answer.
  constructor(camera, show, signal) {
    this.#camera = camera;
    this.#show = show;
    signal.addEventListener("abort", () => { this.#wanted = null; this.#show = () => {}; });
  }

  // `atRest`: asked again with more time, until the whole day is counted.
  ask(kind, rule, atRest) {
    this.#wanted = { kind, rule, atRest, step: 0 };
    if (this.#long) this.#long.abort(); // who drags on waits for no long count
    if (!this.#busy) this.#run();
  }

  stop() {
    this.#wanted = null;
    this.#long?.abort();
  }

  async #run() {
    this.#busy = true;
    while (this.#wanted !== null) {
      const asked = this.#wanted;
      const answer = await this.#answer(asked);
      if (this.#wanted === null) break; // nothing is drawn any more
      const last = this.#wanted === asked;
      const ofIt = this.#wanted.kind === asked.kind && this.#wanted.rule.name === asked.rule.name; // not of what was chosen before
      const busy = isBusy(answer.fault); // others are counting: it is asked again
      const goesOn = busy || (last && this.#deepened(asked, answer));
      if (last && !goesOn) this.#wanted = null;
      if (!answer.aborted && ofIt) this.#show({ ...answer, pending: !last || goesOn });
      await (busy ? afterBusy() : new Promise((done) => { setTimeout(done, AGAIN_MS); }));
    }
    this.#busy = false;
  }

  #deepened(asked, { document }) {
    if (!asked.atRest || document === undefined || document.complete || asked.step + 1 >= WITHIN_S.length) return false;
    asked.step += 1;
    return true;
  }

  async #answer({ kind, rule, step }) {
    const { points, left_to_right, right_to_left, classes, anchor } = rule;
    const drawn = JSON.parse(JSON.stringify({ points, left_to_right, right_to_left, classes, anchor }));
    const body = { [kind.slice(0, -1)]: drawn, since: `${today(nowMs())}T00:00`, within_s: WITHIN_S[step] };
    const control = new AbortController();
    this.#long = step > 0 ? control : null;
    try {
      return { document: await ask("POST", `${cameraPath(this.#camera)}/recount`, body, {}, control.signal) };
    } catch (fault) {
      return { fault, aborted: control.signal.aborted };
    } finally {
      this.#long = null;
    }
  }
}
