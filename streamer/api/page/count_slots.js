// From the rows of an answer to what a chart and a table show: a place for each period, also for those without a
// row. A period without one was seen and nothing came, unless no record reaches into it: then nothing is known.

export const ROW_OF_NONE = "*"; // stands for the line and direction of a row that is only about what was not seen

export function linesOf(document) {
  return unique(document.counts.map((row) => row.name));
}

export function directionsOf(document, line) {
  return unique(document.counts.filter((row) => row.name === line).map((row) => row.direction));
}

// [{ label, startS, blind, blindS, seenS, reasons, values }], a value for each of `directions`.
export function slotsOf(document, camera, bucket, line, directions) {
  const byLabel = Map.groupBy ? Map.groupBy(document.counts, (row) => row[bucket]) : grouped(document.counts, bucket);
  const ends = [...document.periods.slice(1).map((one) => one.start_s), Infinity];
  return document.periods.map((one, i) => {
    const rows = byLabel.get(one.label) ?? [];
    const recorded = reaches(document.recorded[camera], one.start_s, ends[i]);
    return slot(one, rows, recorded, line, directions);
  });
}

function slot({ label, start_s: startS }, rows, recorded, line, directions) {
  const { seen_s: seenS = 0, blind_s: blindS = 0, blind: reasons = {} } = rows[0] ?? {};
  const unknown = !recorded || rows.some((row) => row.count === null);
  const blind = unknown ? 1 : blindS / (seenS + blindS || 1);
  const values = directions.map((direction) => {
    const row = rows.find((one) => one.name === line && one.direction === direction);
    return row ?? { count: unknown ? null : 0 };
  });
  return { label, startS, blind, blindS, seenS, reasons, recorded, values };
}

function reaches(record, startS, endS) {
  return record !== undefined && record[0] < endS && record[1] > startS;
}

function grouped(rows, key) {
  const found = new Map();
  for (const row of rows) found.set(row[key], [...(found.get(row[key]) ?? []), row]);
  return found;
}

function unique(names) {
  return [...new Set(names)].filter((name) => name !== ROW_OF_NONE).sort();
}
