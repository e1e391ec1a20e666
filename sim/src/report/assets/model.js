"use strict";

// The run: columns of the document, and what can be asked of them.

const MINOR = new Set(["sent", "received", "link", "disk", "wake"]);

function readRun(doc) {
  const count = doc.events.after.length;
  const at = new Float64Array(count);
  let now = 0;
  for (let i = 0; i < count; i++) at[i] = now += doc.events.after[i];
  const messages = readMessages(doc, at);
  const run = {
    meta: doc.meta,
    nodes: doc.nodes,
    count,
    at,
    node: doc.events.node,
    kind: doc.events.kind,
    incarnation: doc.events.incarnation,
    causes: (i) => doc.events.causes[i].map((back) => i - back),
    effects: (i) => effectsOf(doc.events.causes, i),
    messages,
    phases: doc.phases,
    lives: doc.lives,
    pauses: doc.pauses,
    faults: doc.faults,
    operations: doc.operations.map((op) => ({
      ...op,
      call: doc.texts[op.call],
      result: doc.texts[op.result],
    })),
    violation: doc.violation,
    healed: doc.healed,
    end: Math.max(doc.end, 1),
  };
  run.text = (i) => eventText(run, doc, i);
  return run;
}

function readMessages(doc, at) {
  const raw = doc.messages;
  const list = raw.sent.map((sent, m) => ({
    from: raw.from[m],
    to: raw.to[m],
    plane: raw.plane[m],
    name: doc.texts[raw.name[m]],
    text: doc.texts[raw.text[m]],
    sent,
    received: raw.received[m] ? sent + raw.received[m] : null,
  }));
  // Chains of the messages that an event sent, and of those that it got: a long run has millions.
  const sent = newChains(at.length, list.length);
  const received = newChains(at.length, list.length);
  let longest = 0;
  for (let m = list.length - 1; m >= 0; m--) {
    const message = list[m];
    addToChain(sent, message.sent, m);
    if (message.received === null) continue;
    addToChain(received, message.received, m);
    longest = Math.max(longest, at[message.received] - at[message.sent]);
  }
  return { list, of: (event) => [...chain(sent, event), ...chain(received, event)], longest };
}

function newChains(heads, links) {
  return { head: new Int32Array(heads).fill(-1), next: new Int32Array(links) };
}

function addToChain(chains, at, link) {
  chains.next[link] = chains.head[at];
  chains.head[at] = link;
}

function* chain(chains, at) {
  for (let link = chains.head[at]; link >= 0; link = chains.next[link]) yield link;
}

function eventText(run, doc, i) {
  const text = doc.texts[doc.events.text[i]];
  const kind = run.kind[i];
  if (kind === "violation") return readable(text);
  if (kind !== "sent" && kind !== "received") return text;
  const messages = run.messages.of(i).map((m) => run.messages.list[m]);
  const verb = kind === "sent" ? "sends" : "gets";
  if (messages.length === 0) return `${verb} ${text}, part of a message`;
  const [other, word] = kind === "sent" ? [messages[0].to, "to"] : [messages[0].from, "from"];
  const shown = messages.slice(0, 6).map((message) => message.text);
  if (messages.length > 6) shown.push(`${messages.length - 6} more`);
  return `${verb} ${shown.join(" + ")} ${word} ${run.nodes[other].name}`;
}

function effectsOf(causes, event) {
  const effects = [];
  for (let i = event + 1; i < causes.length; i++) {
    if (causes[i].includes(i - event)) effects.push(i);
  }
  return effects;
}

// Everything that an event came of, itself included: one byte for each event.
function pastOf(run, event) {
  const past = new Uint8Array(run.count);
  if (event === null) return past;
  const open = [event];
  while (open.length > 0) {
    const i = open.pop();
    if (past[i]) continue;
    past[i] = 1;
    open.push(...run.causes(i));
  }
  return past;
}

// The first index whose time is not before `time`.
function firstFrom(run, time) {
  let low = 0;
  let high = run.count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (run.at[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function seconds(us, digits = 6) {
  return (us / 1e6).toFixed(digits);
}

// What a person may choose to see.
function newFilter() {
  return {
    hidden: new Set(),
    kinds: {
      client: true,
      quorum: true,
      election: true,
      pings: false,
      disk: true,
      notes: true,
    },
    text: "",
  };
}

// Zxids as the rest of the page writes them, before those in hexadecimal.
function readable(text) {
  return text.replace(/\b0x([0-9a-f]{1,5})([0-9a-f]{8})\b/g, (hex, epoch, counter) =>
    `${parseInt(epoch, 16)}:${parseInt(counter, 16)} (${hex})`);
}

function isPing(name) {
  return name === "PING" || name === "ping" || name === "pong";
}

function messageShown(filter, message) {
  if (filter.hidden.has(message.from) || filter.hidden.has(message.to)) return false;
  if (isPing(message.name) && !filter.kinds.pings) return false;
  return filter.kinds[message.plane];
}

function eventShown(run, filter, i) {
  if (filter.hidden.has(run.node[i])) return false;
  const kind = run.kind[i];
  if ((kind === "disk" || kind === "sync") && !filter.kinds.disk) return false;
  if (kind === "note" && !filter.kinds.notes) return false;
  if (kind === "sent" || kind === "received") {
    const messages = run.messages.of(i);
    if (messages.length === 0) return filter.kinds.pings;
    if (!messages.some((m) => messageShown(filter, run.messages.list[m]))) return false;
  }
  if (kind === "wake" && !filter.kinds.pings) return false;
  return true;
}

function matches(run, filter, i) {
  if (filter.text === "") return false;
  const line = `${run.nodes[run.node[i]].name} ${run.text(i)}`.toLowerCase();
  return filter.text.split(/\s+/).every((word) => line.includes(word));
}
