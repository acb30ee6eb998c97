"use strict";
// Shows what /events tells, a second after a second. Names come from clients: they are only ever text.

const byId = (id) => document.getElementById(id);
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const SMOOTHED = 3;  // events that the present rates are made of
const LEAST_SHOWN = 300;  // seconds of the picture, however short the server has run

function spellBytes(count) {
  let unit = 0;
  while (count >= 999.5 && unit < UNITS.length - 1) {
    count /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || count >= 99.95 ? 0 : count >= 9.995 ? 1 : 2;
  return `${count.toFixed(digits)} ${UNITS[unit]}`;
}

const spellRate = (rate) => `${spellBytes(rate)}/s`;

function spellTime(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

function spellClock(at, seconds) {
  const parts = {hour: "2-digit", minute: "2-digit", hourCycle: "h23"};
  if (seconds) parts.second = "2-digit";
  return new Date(at * 1000).toLocaleTimeString([], parts);
}

function put(id, text) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, classes, parent) {
  const node = document.createElement(tag);
  node.className = classes;
  parent.append(node);
  return node;
}

// Rows that stay the same elements from one event to the next.

function showRows(list, items, keyOf, build, fill) {
  const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
  for (const item of items) {
    const key = keyOf(item);
    let row = old.get(key);
    if (row === undefined) {
      row = make("li", "", list);
      row.dataset.key = key;
      row.parts = build(row);
    }
    old.delete(key);
    fill(row.parts, item);
  }
  for (const gone of old.values()) gone.remove();
}

function buildTransfer(row) {
  const what = make("div", "what", row);
  const name = make("div", "name", what);
  const way = make("span", "way", name);
  const text = make("span", "", name);
  const who = make("div", "who quiet", what);
  const how = make("div", "how", row);
  const bar = make("progress", "", how);
  const part = make("div", "quiet", how);
  return {way, text, who, bar, part, rate: make("div", "rate", row), limit: make("div", "limit", row)};
}

function fillTransfer(parts, item) {
  const kind = item.verb === "put" ? "received" : "sent";
  parts.way.className = `way ${kind}`;
  parts.way.textContent = item.verb;
  parts.text.textContent = item.name;
  parts.text.title = item.name;
  parts.who.textContent = item.user ? `${item.user} at ${item.peer}` : item.peer;
  parts.bar.className = kind;
  if (item.size === null) {
    parts.bar.removeAttribute("value");
    parts.part.textContent = spellBytes(item.moved);
  } else {
    parts.bar.max = Math.max(item.size, 1);
    parts.bar.value = item.size ? item.moved : 1;
    const percent = item.size ? Math.floor(100 * item.moved / item.size) : 100;
    const left = item.rate > 0 && item.moved < item.size ? `, ${spellTime((item.size - item.moved) / item.rate)} left` : "";
    parts.part.textContent = `${percent} % of ${spellBytes(item.size)}${left}`;
  }
  parts.rate.textContent = spellRate(item.rate);
  parts.limit.textContent = item.limited;
}

function buildSession(row) {
  return {
    user: make("div", "name", row), peer: make("div", "peer quiet", row),
    does: make("div", "does quiet", row), since: make("div", "since quiet", row),
  };
}

function fillSession(parts, item) {
  parts.user.textContent = item.user || "(no login)";
  parts.peer.textContent = item.secure ? `${item.peer} · TLS` : item.peer;
  parts.does.textContent = item.does || "waits";
  parts.since.textContent = spellTime(item.seconds);
}

// The picture.

const known = new Map();  // rates by the number of their bucket, the oldest first
let range = [Date.now() / 1000 - LEAST_SHOWN, Date.now() / 1000];
let plot = null;

function remember(told, now) {
  told.rates.forEach((rates, index) => known.set(told.number - told.rates.length + 1 + index, rates));
  for (const number of known.keys()) {
    if (number > told.number - told.kept) break;
    known.delete(number);
  }
  const rates = [...known.values()];
  const times = [...known.keys()].map((number) => told.began + (number - told.number + 1) * told.bucket);
  times[times.length - 1] = now;
  return [times, rates.map((each) => each[0]), rates.map((each) => each[1])];
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function series(label, name) {
  return {
    label, stroke: () => colour(name), fill: () => `${colour(name)}26`, width: 2,
    value: (_, rate) => (rate === null || rate === undefined ? "–" : spellRate(rate)),
    points: {show: false},
  };
}

function axis(more) {
  return {
    stroke: () => colour("--quiet"), grid: {stroke: () => colour("--edge"), width: 1},
    ticks: {stroke: () => colour("--edge"), width: 1}, ...more,
  };
}

function drawnHeight() {
  return window.innerWidth < 640 ? 190 : 240;
}

function draw(told, now) {
  const data = remember(told, now);
  range = [Math.max(now - told.bucket * told.kept, Math.min(data[0][0], now - LEAST_SHOWN)), now];
  if (plot === null) {
    const box = byId("chart");
    plot = new uPlot({
      width: box.clientWidth, height: drawnHeight(),
      series: [
        {label: "at", value: (_, at) => (at ? spellClock(at, true) : "–")},
        series("sent", "--sent"), series("received", "--received"),
      ],
      axes: [
        axis({space: 70, size: 32, values: (_, ticks, __, ___, step) => ticks.map((at) => spellClock(at, step < 60))}),
        axis({size: 84, values: (_, ticks) => ticks.map((rate) => spellRate(rate).replace(/\.0+ /, " "))}),
      ],
      padding: [10, 8, 0, 0],
      scales: {x: {range: () => range}, y: {range: (_, __, most) => [0, Math.max(most * 1.1, 1000)]}},
      cursor: {drag: {x: false, y: false}},
      hooks: {init: [(made) => { made.root.dataset.ready = "yes"; }]},
    }, data, box);
    new ResizeObserver(() => plot.setSize({width: box.clientWidth, height: drawnHeight()})).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw(false));
  }
  plot.setData(data);
}

// An event.

const recent = [];

function present(shown, index) {
  const then = recent[0];
  const seconds = shown.now - then.now;
  return seconds > 0 ? Math.max(0, (shown.moved[index] - then.moved[index]) / seconds) : 0;
}

function show(shown) {
  if (recent.length && recent[0].started !== shown.started) {
    recent.length = 0;
    known.clear();
  }
  recent.push({now: shown.now, moved: shown.moved, started: shown.started});
  if (recent.length > SMOOTHED) recent.shift();
  const [sent, received] = [present(shown, 0), present(shown, 1)];
  const {success, failure, error} = shown.done;
  const waiting = Object.values(shown.waiting).reduce((sum, each) => sum + each, 0);
  put("state", shown.state);
  byId("state").dataset.state = shown.state;
  put("uptime", `up ${spellTime(shown.now - shown.started)}`);
  put("sent", spellRate(sent));
  put("sent-all", `${spellBytes(shown.moved[0])} in all`);
  put("received", spellRate(received));
  put("received-all", `${spellBytes(shown.moved[1])} in all`);
  put("sessions", String(shown.sessions));
  put("busy", `${shown.transfers} with a transfer`);
  put("done", String(success + failure + error));
  put("failed", `${failure + error} without success`);
  put("lag", `${(shown.lag * 1000).toFixed(shown.lag < 0.01 ? 1 : 0)} ms`);
  put("waiting", `${waiting} waiting for threads`);
  put("transfers", shown.transfers > shown.moving.length ? `${shown.moving.length} of ${shown.transfers}` : "");
  put("shown-count", shown.sessions > shown.shown.length ? `${shown.shown.length} of ${shown.sessions}` : "");
  showRows(byId("moving"), shown.moving, (each) => `${each.peer} ${each.verb}`, buildTransfer, fillTransfer);
  showRows(byId("shown"), shown.shown, (each) => each.peer, buildSession, fillSession);
  byId("moving-none").hidden = shown.moving.length > 0;
  byId("shown-none").hidden = shown.shown.length > 0;
  document.title = `↓ ${spellRate(sent)} ↑ ${spellRate(received)} · FTPLite`;
  draw(shown.history, shown.now);
}

const events = new EventSource("events");
events.onmessage = (message) => show(JSON.parse(message.data));
events.onerror = () => {
  put("state", "connection lost");
  byId("state").dataset.state = "lost";
  // Where it was refused the browser does not try again by itself.
  if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
};
