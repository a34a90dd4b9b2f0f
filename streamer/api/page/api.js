// Asking the API as who is signed in. A refusal carries the one line that says what to do.

export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let csrf = null;
let aheadMs = 0; // of the box's clock, against this device's

export function setCsrf(value) {
  csrf = value;
}

export function nowMs() {
  return Date.now() + aheadMs;
}

export async function ask(method, path, body, more = {}, signal = undefined) {
  const headers = { accept: "application/json", ...more };
  if (csrf !== null && method !== "GET") headers["x-csrf-token"] = csrf;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const response = await answer(path, { method, headers, body: sent, cache: "no-store", signal });
  keepTime(response);
  if (!response.ok) throw await refusal(response, path);
  return response.json();
}

export const get = (path) => ask("GET", path);

const BUSY = [429, 503]; // as many are answered as may be at a time
const BUSY_MS = 1500;
const MAX_ASKED = 4;

export const isBusy = (refusal) => BUSY.includes(refusal?.status);
export const afterBusy = () => new Promise((done) => { setTimeout(done, BUSY_MS); });

// For what may wait behind others: asked again while the box is busy.
export async function getInTurn(path) {
  for (let asked = 1; ; asked += 1) {
    try {
      return await get(path);
    } catch (refusal) {
      if (!isBusy(refusal) || asked >= MAX_ASKED) throw refusal;
      await afterBusy();
    }
  }
}

export function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

export const cameraPath = (name) => `/api/v1/cameras/${encodeURIComponent(name)}`;

async function answer(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Refusal(0, ""); // no connection: who shows it has a text for that
  }
}

async function refusal(response, path) {
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  const found = new Refusal(response.status, problem.detail);
  if (response.status === 401 && !path.endsWith("/session")) window.dispatchEvent(new Event("signed-out"));
  return found;
}

function keepTime(response) {
  const date = Date.parse(response.headers.get("date"));
  if (Number.isFinite(date) && Math.abs(date - Date.now()) > 2000) aheadMs = date - Date.now();
}
