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
