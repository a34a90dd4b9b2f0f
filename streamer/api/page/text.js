// Words by key from texts.json, numbers and times by the browser (Intl), times in the site's timezone.

const DAY_MS = 86_400_000;
export const LANGUAGES = ["en", "de"];
let words = {};
let language = LANGUAGES[0];
let locale = LANGUAGES[0]; // the same language as this device writes numbers and times
let zone = "UTC";

export async function loadTexts() {
  const texts = await (await fetch("/page/texts.json")).json();
  language = chosen();
  words = texts[language];
  locale = navigator.languages.find((name) => name.startsWith(language)) ?? language;
  document.documentElement.lang = language;
}

export function setLanguage(next) {
  localStorage.setItem("language", next);
}

export function currentLanguage() {
  return language;
}

export function setZone(name) {
  zone = name;
}

// {name} in a text is replaced by values.name. A key without a text is shown as it is, as is a new state.
export function t(key, values = {}) {
  const text = words[key];
  if (text === undefined) return key.slice(key.lastIndexOf(".") + 1).replaceAll("_", " ");
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// A name that may be one of ours, which has a text, or somebody's own, which is shown as it is.
export function named(prefix, value) {
  return words[`${prefix}.${value}`] ?? value;
}

export function number(value, digits = 0) {
  if (value === null || value === undefined) return t("none");
  return new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);
}

export function percent(share) {
  return new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 }).format(share);
}

export function bytes(value) {
  if (value === null || value === undefined) return t("none");
  const [unit, size] = value >= 1e9 ? ["gigabyte", 1e9] : ["megabyte", 1e6];
  return new Intl.NumberFormat(locale, { style: "unit", unit, maximumFractionDigits: 1 }).format(value / size);
}

export function milliseconds(value) {
  if (value === null || value === undefined) return t("none");
  const [unit, size] = value >= 1000 ? ["second", 1000] : ["millisecond", 1];
  const digits = size === 1 ? 0 : 1;
  return new Intl.NumberFormat(locale, { style: "unit", unit, maximumFractionDigits: digits }).format(value / size);
}

export function duration(seconds) {
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const first = Math.max(0, steps.findIndex(([, size]) => seconds >= size));
  const from = seconds < 1 ? 3 : first;
  let left = Math.round(seconds);
  return steps.slice(from, from + 2).map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return [count, new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short" }).format(count)];
  }).filter(([count], i) => count > 0 || i === 0).map(([, text]) => text).join(" ");
}

export function moment(time) {
  const options = { dateStyle: "short", timeStyle: "medium", timeZone: zone };
  return new Intl.DateTimeFormat(locale, options).format(new Date(time));
}

export function time(at) {
  const options = { hour: "2-digit", minute: "2-digit", timeZone: zone };
  return new Intl.DateTimeFormat(locale, options).format(new Date(at));
}

// A period by its beginning (Unix seconds), as an axis or a row names it.
export function period(startS, bucket) {
  const day = { weekday: "short", day: "numeric", month: "short", timeZone: zone };
  const options = bucket === "hour" ? { ...day, hour: "2-digit", minute: "2-digit" } : day;
  const text = new Intl.DateTimeFormat(locale, options).format(new Date(startS * 1000));
  return bucket === "week" ? t("counts.week_of", { day: text }) : text;
}

export function tick(startS, bucket) {
  const options = bucket === "hour" ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(locale, { ...options, timeZone: zone }).format(new Date(startS * 1000));
}

// The site's date, as the API takes it.
export function today(nowMs) {
  const parts = { year: "numeric", month: "2-digit", day: "2-digit", timeZone: zone };
  return new Intl.DateTimeFormat("en-CA", parts).format(new Date(nowMs));
}

// Where a whole hour, day or week of the site began, as the API takes it: a period that is cut off would look like
// one in which fewer came.
export function wholeSince(atMs, bucket) {
  if (bucket === "hour") {
    const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", hourCycle: "h23", timeZone: zone });
    return `${today(atMs)}T${hour.format(new Date(atMs)).padStart(2, "0")}:00`;
  }
  const sinceMonday = (new Date(`${today(atMs)}T00:00Z`).getUTCDay() + 6) % 7;
  return `${today(bucket === "week" ? atMs - sinceMonday * DAY_MS : atMs)}T00:00`;
}

function chosen() {
  const kept = localStorage.getItem("language");
  const wanted = [kept, ...navigator.languages.map((name) => name.slice(0, 2))];
  return wanted.find((name) => LANGUAGES.includes(name)) ?? LANGUAGES[0];
}
