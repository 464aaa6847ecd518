// The live page: fetches api/status every second and shows it. Text is only ever written to textContent.
"use strict";

const POLL_INTERVAL_MS = 1000;
const TIMEOUT_MS = 4000;
const MISSING = "–"; // for a value that the program does not report
const STEPS = 450; // in the chart; the program keeps as many

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en-US");
const percent = new Intl.NumberFormat("en-US", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const at = (status, path) => path.split(".").reduce((value, key) => value?.[key], status);

const duration = (seconds) => {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
};
const age = (seconds) => (seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds));
const latency = (seconds, status) => {
  if (seconds >= status.latency.longest) return `over ${number.format(status.latency.longest)} s`;
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  return `${seconds.toPrecision(seconds < 100 ? 3 : 4)} s`;
};
const rate = (value) => (value > 0 && value < 10 ? value.toFixed(1) : number.format(Math.round(value)));
const forms = {
  count: (value) => number.format(value),
  text: (value) => String(value),
  last: (values) => (values.length ? rate(values.at(-1)) : MISSING),
  seconds: latency,
  since: (start, status) => duration((status.now - start) / 1000),
};

// Writes only changes, so that nothing flickers and screen readers stay quiet.
const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

const fill = (status) => {
  for (const element of document.querySelectorAll("[data-from]")) {
    const value = at(status, element.dataset.from);
    const form = forms[element.dataset.as ?? "count"];
    write(element, value === undefined || value === null ? MISSING : form(value, status));
  }
  const big = document.querySelector(".hero .big");
  big.style.setProperty("--length", Math.max(8, big.textContent.length));
};

// Keeps one row per key: makes rows for new keys and removes those of keys that are gone.
const rows = (body, keys, make) => {
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  const wanted = keys.map((key) => known.get(String(key)) ?? Object.assign(make(key), { key }));
  wanted.forEach((row, place) => {
    row.dataset.key ??= String(row.key);
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
  });
  while (body.rows.length > wanted.length) body.deleteRow(-1);
};
const row = (head, ...froms) => {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = head;
  line.append(name);
  for (const from of froms) {
    const cell = line.insertCell();
    if (from) Object.assign(cell.dataset, from);
  }
  return line;
};

const SECTIONS = ["length", "area", "dob", "gender", "computerized"];
const sections = (status) => {
  rows(byId("sections"), SECTIONS, (name) => {
    const line = row(name, null, { from: `summary.valid.section.${name}` }, { share: `summary.valid.section.${name}` });
    const bar = line.cells[1];
    bar.className = "bar";
    bar.append(document.createElement("div"));
    bar.firstChild.append(document.createElement("i"));
    return line;
  });
  const all = status.summary.number_processed;
  for (const element of document.querySelectorAll("[data-share]")) {
    const valid = at(status, element.dataset.share);
    write(element, all && valid !== null ? percent.format(valid / all) : MISSING);
    const bar = element.closest("tr")?.querySelector("i");
    if (bar) bar.style.width = all ? `${(100 * valid) / all}%` : "0";
  }
};

const reasons = (status) => {
  const body = byId("reasons");
  rows(body, Object.keys(status.failures).sort(), (reason) => row(reason, { from: `failures.${reason}` }));
  for (const line of body.rows) line.classList.toggle("zero", status.failures[line.dataset.key] === 0);
};

// One table for each section, with the reasons that made it invalid.
const invalid = ({ reasons }) => {
  const tables = byId("invalid-by-section");
  if (!tables.childElementCount) {
    tables.append(...SECTIONS.map((section) => {
      const table = document.createElement("table");
      table.createCaption().textContent = section;
      table.createTBody();
      return table;
    }));
  }
  SECTIONS.forEach((section, place) => {
    const body = tables.children[place].tBodies[0];
    const counts = reasons[section] ?? {};
    rows(body, Object.keys(counts).sort(), (reason) => row(reason, { from: `reasons.${section}.${reason}` }));
    for (const line of body.rows) line.classList.toggle("zero", counts[line.dataset.key] === 0);
  });
};

const partitions = (status) => {
  const all = status.partitions;
  const body = byId("lag");
  rows(body, all.map((it) => it.partition), (partition) => row(partition, {}, {}, {}));
  all.forEach((it, place) => {
    const [, here, records, seconds] = body.rows[place].cells;
    write(here, it.assigned ? "yes" : "no");
    write(records, it.lag_records === null ? MISSING : number.format(it.lag_records));
    write(seconds, it.lag_seconds === null ? MISSING : age(it.lag_seconds));
    body.rows[place].classList.toggle("zero", !it.assigned);
  });
  write(byId("assigned"), `${all.filter((it) => it.assigned).length} assigned here`);
};

const chart = ({ results, failures, step_seconds: step }) => {
  const highest = Math.max(1, ...results, ...failures);
  const power = 10 ** Math.floor(Math.log10(highest));
  const top = [1, 2, 2.5, 5, 10].map((it) => it * power).find((it) => it >= highest * 1.05) ?? 20 * power;
  const line = (values) =>
    values.map((value, place) => `${STEPS - values.length + place + 1},${(100 - (98 * value) / top).toFixed(2)}`).join("L");
  const [first, second] = [line(results), line(failures)];
  byId("results").setAttribute("d", first && `M${first}`);
  byId("failures").setAttribute("d", second && `M${second}`);
  byId("area").setAttribute("d", first && `M${STEPS - results.length + 1},100L${first}L${STEPS},100Z`);
  write(byId("top"), `${number.format(top)}/s`);
  const minutes = Math.round((results.length * step) / 60);
  const text = `In the last ${minutes} minutes at most ${rate(Math.max(0, ...results))} results and ${rate(Math.max(0, ...failures))} failures per second`;
  byId("chart").setAttribute("aria-label", text);
};

const breaker = ({ open, why }) => {
  write(byId("breaker"), open === null ? MISSING : open ? "Open" : "Closed");
  byId("breaker").dataset.open = String(open);
  write(byId("why"), open ? (why ?? "The workers are paused.") : open === null ? "" : "Requests are processed.");
};

const state = (name, text, problems) => {
  byId("state").dataset.state = name;
  write(byId("state"), text);
  document.title = name === "ready" ? "nik-stream" : `nik-stream: ${text.toLowerCase()}`;
  const list = byId("problems");
  list.hidden = problems.length === 0;
  if (list.dataset.text !== problems.join("\n")) {
    list.dataset.text = problems.join("\n");
    list.replaceChildren(...problems.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
};

const show = (status) => {
  sections(status);
  reasons(status);
  invalid(status);
  partitions(status);
  fill(status);
  chart(status.rates);
  breaker(status.breaker);
  const minutes = status.latency && Math.round(status.latency.seconds / 60);
  write(byId("window"), minutes >= 1 ? `over the last ${minutes === 1 ? "minute" : `${minutes} minutes`}` : "since the start");
  state(status.ready ? "ready" : "unready", status.ready ? "Ready" : "Not ready", status.problems);
};

let last = null; // the time of the last answer

const poll = async () => {
  try {
    const answer = await fetch("api/status", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
    last = Date.now();
  } catch {
    state("lost", "No answer", []);
  }
  const lost = byId("state").dataset.state === "lost";
  document.body.toggleAttribute("data-stale", lost && last !== null);
  const old = last && `Last update ${duration((Date.now() - last) / 1000)} ago, at ${new Date(last).toLocaleTimeString("en-GB")}`;
  write(byId("age"), lost ? (old ?? "") : `Live, ${new Date(last).toLocaleTimeString("en-GB")}`);
  setTimeout(poll, POLL_INTERVAL_MS);
};
poll();
