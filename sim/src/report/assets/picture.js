// The space-time diagram: time to the right, a lane for each server and client.

const GUTTER = 54;
const AXIS = 22;
const FAULT_ROW = 17;
const SERVER_LANE = 64;
const CLIENT_LANE = 34;
const BAND = 18;

function newPicture(canvas, overview, run, filter) {
  const picture = {
    canvas, overview, run, filter,
    colour: readColours(),
    view: { from: 0, to: run.end },
    focus: run.violation,
    past: pastOf(run, run.violation),
    selected: run.violation,
    hovered: null,
    lanes: [],
    faultRows: packFaults(run),
    operationRows: packOperations(run),
    width: 0,
    height: 0,
  };
  return picture;
}

// Faults in as few rows as hold them without overlap.
function packFaults(run) {
  const ends = [];
  const least = run.end / 400;
  const newest = [];
  run.faults.forEach((fault) => {
    let row = ends.findIndex((end) => end <= fault.from);
    if (row < 0) row = ends.length;
    ends[row] = Math.max(fault.to, fault.from + least);
    fault.row = row;
    fault.nextFrom = Infinity;
    if (newest[row]) newest[row].nextFrom = fault.from;
    newest[row] = fault;
  });
  return ends.length;
}

// The same for the operations of each client; how many rows each needs.
function packOperations(run) {
  const ends = new Map();
  for (const op of run.operations) {
    const rows = ends.get(op.node) ?? [];
    ends.set(op.node, rows);
    const free = rows.findIndex((end) => end <= op.from);
    op.row = free >= 0 ? free : rows.length < 4 ? rows.length : 3;
    rows[op.row] = Math.max(op.to, rows[op.row] ?? 0);
  }
  return new Map([...ends].map(([node, rows]) => [node, rows.length]));
}

function layOut(picture) {
  const { canvas, run, filter } = picture;
  const ratio = window.devicePixelRatio || 1;
  for (const each of [canvas, picture.overview]) {
    const box = each.getBoundingClientRect();
    each.width = Math.max(1, Math.round(box.width * ratio));
    each.height = Math.max(1, Math.round(box.height * ratio));
  }
  const box = canvas.getBoundingClientRect();
  picture.width = box.width;
  picture.height = box.height;
  picture.ratio = ratio;
  const shown = run.nodes
    .map((node, index) => ({ ...node, index }))
    .filter((node) => node.kind !== "world" && !filter.hidden.has(node.index));
  const rows = Math.min(picture.faultRows, 6);
  picture.top = AXIS + rows * FAULT_ROW + 6;
  const room = picture.height - picture.top - 4;
  const wanted = shown.reduce((sum, node) => sum + laneHeight(node), 0);
  const scale = wanted > 0 ? Math.min(2.2, Math.max(0.35, room / wanted)) : 1;
  let y = picture.top;
  picture.lanes = [];
  picture.laneOf = new Map();
  for (const node of shown) {
    const height = laneHeight(node) * scale;
    const lane = { ...node, y, height, middle: y + height / 2, half: Math.min(BAND / 2, height / 3.2) };
    picture.lanes.push(lane);
    picture.laneOf.set(node.index, lane);
    y += height;
  }
}

function laneHeight(node) {
  return node.kind === "server" ? SERVER_LANE : CLIENT_LANE;
}

function xOf(picture, time) {
  const { from, to } = picture.view;
  return GUTTER + ((time - from) / (to - from)) * (picture.width - GUTTER);
}

function timeOf(picture, x) {
  const { from, to } = picture.view;
  return from + ((x - GUTTER) / (picture.width - GUTTER)) * (to - from);
}

function setView(picture, from, to) {
  const least = 20;
  const margin = picture.run.end * 0.02 + 1000;
  let span = Math.max(least, to - from);
  span = Math.min(span, picture.run.end + 2 * margin);
  let start = Math.max(-margin, Math.min(from, picture.run.end + margin - span));
  picture.view = { from: start, to: start + span };
}

function zoomAt(picture, time, factor) {
  const { from, to } = picture.view;
  setView(picture, time - (time - from) * factor, time + (to - time) * factor);
}

// The window in which the story of an event is told: its newest causes that say something.
function setStoryView(picture) {
  const { run, past, focus } = picture;
  if (focus === null) return setView(picture, 0, run.end);
  let left = 28;
  let from = run.at[focus];
  for (let i = focus; i >= 0 && left > 0; i--) {
    if (past[i] && !MINOR.has(run.kind[i])) {
      left--;
      from = run.at[i];
    }
  }
  const at = run.at[focus];
  const span = Math.min(Math.max(at - from, 20000), 3e6);
  setView(picture, at - span * 1.08, at + span * 0.12);
}

function draw(picture) {
  const context = picture.canvas.getContext("2d");
  context.setTransform(picture.ratio, 0, 0, picture.ratio, 0, 0);
  context.fillStyle = picture.colour("ground");
  context.fillRect(0, 0, picture.width, picture.height);
  context.textBaseline = "middle";
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  picture.hits = [];
  drawLanes(picture, context);
  drawAxis(picture, context);
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, picture.width - GUTTER, picture.height);
  context.clip();
  drawFaults(picture, context);
  drawLives(picture, context);
  drawPhases(picture, context);
  drawOperations(picture, context);
  drawMessages(picture, context);
  drawEvents(picture, context);
  drawMarks(picture, context);
  context.restore();
  drawNames(picture, context);
  drawOverview(picture);
}

function drawLanes(picture, context) {
  picture.lanes.forEach((lane, index) => {
    context.fillStyle = picture.colour(index % 2 ? "ground" : "lane");
    context.fillRect(0, lane.y, picture.width, lane.height);
    context.fillStyle = picture.colour("line");
    context.fillRect(GUTTER, Math.round(lane.middle), picture.width - GUTTER, 1);
  });
}

function drawNames(picture, context) {
  context.fillStyle = picture.colour("raised");
  context.fillRect(0, 0, GUTTER - 1, picture.height);
  context.fillStyle = picture.colour("line");
  context.fillRect(GUTTER - 1, 0, 1, picture.height);
  context.textAlign = "left";
  for (const lane of picture.lanes) {
    context.fillStyle = picture.colour("text");
    context.font = "600 13px system-ui, 'DejaVu Sans', sans-serif";
    context.fillText(lane.name, 8, lane.middle);
    const habits = picture.run.meta.apache[lane.name];
    if (habits !== undefined && lane.height > 34) {
      context.font = "10px system-ui, 'DejaVu Sans', sans-serif";
      context.fillStyle = picture.colour("faint");
      context.fillText("Apache", 8, lane.middle + 14);
    }
  }
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  context.fillStyle = picture.colour("faint");
  context.fillText("seconds", 6, AXIS / 2);
  if (picture.faultRows > 0) context.fillText("faults", 6, AXIS + FAULT_ROW / 2);
}

function drawAxis(picture, context) {
  const { from, to } = picture.view;
  const wanted = ((to - from) / (picture.width - GUTTER)) * 110;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= wanted);
  const digits = Math.max(0, Math.min(6, 6 - Math.floor(Math.log10(step))));
  context.textAlign = "center";
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    const x = Math.round(xOf(picture, time));
    context.fillStyle = picture.colour("line");
    context.fillRect(x, AXIS - 5, 1, picture.height);
    context.fillStyle = picture.colour("faint");
    if (x > GUTTER + 12) context.fillText(seconds(time, digits), x, AXIS / 2);
  }
}

function drawFaults(picture, context) {
  const { run } = picture;
  context.textAlign = "left";
  run.faults.forEach((fault, index) => {
    const left = xOf(picture, fault.from);
    const right = Math.max(xOf(picture, fault.to), left + 3);
    if (right < GUTTER || left > picture.width || fault.row >= 6) return;
    const y = AXIS + fault.row * FAULT_ROW + 2;
    const height = FAULT_ROW - 4;
    if (fault.struck) {
      context.fillStyle = picture.colour("fault-ground");
      for (const node of fault.nodes) {
        const lane = picture.laneOf.get(node);
        if (lane) context.fillRect(left, lane.y, right - left, lane.height);
      }
    }
    context.globalAlpha = fault.struck ? (isDimmed(picture, fault.event) ? 0.4 : 1) : 0.3;
    context.fillStyle = picture.colour("fault");
    context.fillRect(left, y, right - left, height);
    context.globalAlpha = 1;
    const label = `${fault.name.replaceAll("_", " ")} ${fault.nodes.map((node) => run.nodes[node].name).join(" ")}${fault.struck ? "" : " (could not strike)"}`;
    const room = right - Math.max(left, GUTTER);
    if (context.measureText(label).width < room - 6) {
      const isPale = isDimmed(picture, fault.event) || !fault.struck;
      context.fillStyle = isPale ? picture.colour("text") : "#ffffff";
      context.fillText(label, Math.max(left, GUTTER) + 4, y + height / 2);
    } else if (right + 4 < picture.width && roomBehind(picture, fault, right) > context.measureText(label).width + 8) {
      context.fillStyle = picture.colour(fault.struck ? "fault" : "faint");
      context.fillText(label, right + 4, y + height / 2);
    }
    picture.hits.push({ left: left - 3, right: right + 3, top: y, bottom: y + height, what: { fault: index } });
  });
}

function roomBehind(picture, fault, right) {
  return Math.min(picture.width, xOf(picture, fault.nextFrom)) - right;
}

function drawLives(picture, context) {
  const { run } = picture;
  for (const lane of picture.lanes) {
    if (lane.kind !== "server") continue;
    hatch(picture, context, GUTTER, picture.width, lane, "down");
  }
  for (const life of run.lives) {
    const lane = picture.laneOf.get(life.node);
    if (!lane) continue;
    const left = Math.max(GUTTER, xOf(picture, life.from));
    const right = Math.min(picture.width, xOf(picture, life.to));
    if (right < GUTTER || left > picture.width) continue;
    context.fillStyle = picture.colour("recovering");
    context.fillRect(left, lane.middle - lane.half, Math.max(1, right - left), 2 * lane.half);
  }
}

// A server that is down.
function hatch(picture, context, left, right, lane, colour) {
  context.fillStyle = picture.colour("ground");
  context.fillRect(left, lane.middle - lane.half, right - left, 2 * lane.half);
  context.strokeStyle = picture.colour(colour);
  context.lineWidth = 1;
  context.beginPath();
  for (let x = left - 2 * lane.half; x < right; x += 7) {
    context.moveTo(x, lane.middle + lane.half);
    context.lineTo(x + 2 * lane.half, lane.middle - lane.half);
  }
  context.save();
  context.clip(rectangle(left, lane.middle - lane.half, right - left, 2 * lane.half));
  context.stroke();
  context.restore();
}

function rectangle(x, y, width, height) {
  const path = new Path2D();
  path.rect(x, y, width, height);
  return path;
}

// Far from its neighbours, and from the red of faults.
function epochColour(epoch) {
  return `hsl(${40 + ((epoch * 127) % 280)} 80% 55%)`;
}

function phaseColour(name) {
  const [role, part] = name.split(", ");
  const known = { looking: "looking", leader: "leader", follower: "follower", observer: "observer" };
  if (!known[role]) return "other";
  return part ? `${known[role]}-soft` : known[role];
}

function drawPhases(picture, context) {
  const { run } = picture;
  context.textAlign = "left";
  run.phases.forEach((phase, index) => {
    const lane = picture.laneOf.get(phase.node);
    if (!lane) return;
    const left = Math.max(GUTTER, xOf(picture, phase.from));
    const right = Math.min(picture.width, xOf(picture, phase.to));
    if (right < GUTTER || left > picture.width) return;
    const width = Math.max(1, right - left);
    const top = lane.middle - lane.half;
    context.fillStyle = picture.colour(phaseColour(phase.name));
    context.fillRect(left, top, width, 2 * lane.half);
    // The epoch is a colour of its own: where it differs between lanes, eyes find it.
    if (phase.name !== "looking" && phase.epoch > 0) {
      context.fillStyle = epochColour(phase.epoch);
      context.fillRect(left, top, width, 4);
    }
    context.fillStyle = picture.colour("ground");
    context.fillRect(left, top, 1, 2 * lane.half);
    const epoch = phase.name === "looking" ? "" : ` · epoch ${phase.epoch}`;
    const label = [`${phase.name}${epoch}`, phase.name, phase.name.split(", ")[0]]
      .find((text) => context.measureText(text).width < width - 8);
    if (label && lane.half >= 7) {
      context.fillStyle = picture.colour(phase.name.includes(", ") || phase.name === "looking" ? "on-soft" : "on-band");
      if (phase.name === "looking") context.fillStyle = "#2b2000";
      context.fillText(label, left + 5, lane.middle + 1);
    }
    picture.hits.push({ left, right, top, bottom: top + 2 * lane.half, what: { phase: index } });
  });
  for (const [node, from, to] of run.pauses) {
    const lane = picture.laneOf.get(node);
    if (!lane) continue;
    const left = Math.max(GUTTER, xOf(picture, from));
    const right = Math.min(picture.width, xOf(picture, to));
    if (right > left) {
      hatch(picture, context, left, right, lane, "fault");
      context.fillStyle = picture.colour("fault");
      if (right - left > 60) context.fillText("paused", left + 5, lane.middle);
    }
  }
}

function drawOperations(picture, context) {
  const { run } = picture;
  if (!picture.filter.kinds.client) return;
  context.textAlign = "left";
  run.operations.forEach((op, index) => {
    const lane = picture.laneOf.get(op.node);
    if (!lane) return;
    const left = xOf(picture, op.from);
    const right = Math.max(xOf(picture, op.to), left + 2);
    if (right < GUTTER || left > picture.width) return;
    const rows = picture.operationRows.get(op.node);
    const height = Math.min(14, (lane.height - 4) / rows);
    const top = lane.middle + (op.row - rows / 2) * height;
    const dim = isDimmed(picture, op.answered ?? op.asked) && isDimmed(picture, op.asked);
    context.globalAlpha = dim ? 0.4 : 1;
    context.fillStyle = picture.colour(op.status);
    context.beginPath();
    context.roundRect(left, top + 0.5, right - left, height - 1, 3);
    context.fill();
    const shown = Math.max(left, GUTTER);
    if (right - shown > 40 && height > 9) {
      context.save();
      context.clip(rectangle(shown, top, right - shown - 3, height));
      context.fillStyle = "#ffffff";
      context.fillText(op.call, shown + 4, top + height / 2 + 0.5);
      context.restore();
    }
    context.globalAlpha = 1;
    picture.hits.push({ left: left - 1, right: right + 1, top, bottom: top + height, what: { op: index } });
  });
}

function isDimmed(picture, event) {
  return picture.focus !== null && !picture.past[event];
}

// The whole run in one strip, and the part of it that is shown.
function drawOverview(picture) {
  const { overview, run, colour, ratio } = picture;
  const context = overview.getContext("2d");
  const width = overview.width / ratio;
  const height = overview.height / ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = colour("lane");
  context.fillRect(0, 0, width, height);
  const x = (time) => (time / run.end) * width;
  const bars = (picture.histogram ??= histogramOf(run, 240));
  const most = Math.max(1, ...bars);
  context.fillStyle = colour("down");
  bars.forEach((count, index) => {
    const tall = (count / most) * (height - 14);
    context.fillRect((index / bars.length) * width, height - tall, width / bars.length, tall);
  });
  context.fillStyle = colour("fault");
  for (const fault of run.faults) {
    if (fault.struck) context.fillRect(x(fault.from), 2 + (fault.row % 3) * 4, Math.max(2, x(fault.to) - x(fault.from)), 3);
  }
  if (run.violation !== null) {
    context.fillStyle = colour("bad");
    context.fillRect(x(run.at[run.violation]) - 1, 0, 3, height);
  }
  const left = x(Math.max(0, picture.view.from));
  const right = x(Math.min(run.end, picture.view.to));
  context.fillStyle = colour("accent");
  context.globalAlpha = 0.18;
  context.fillRect(left, 0, Math.max(3, right - left), height);
  context.globalAlpha = 1;
  context.strokeStyle = colour("accent");
  context.lineWidth = 1.5;
  context.strokeRect(left, 0.75, Math.max(3, right - left), height - 1.5);
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "right";
  const label = `whole run: ${seconds(run.end, 2)} s`;
  context.globalAlpha = 0.8;
  context.fillStyle = colour("ground");
  context.fillRect(width - context.measureText(label).width - 10, height - 16, width, 15);
  context.globalAlpha = 1;
  context.fillStyle = colour("faint");
  context.fillText(label, width - 5, height - 8);
}

function histogramOf(run, count) {
  const bars = new Array(count).fill(0);
  for (let i = 0; i < run.count; i++) {
    bars[Math.min(count - 1, Math.floor((run.at[i] / run.end) * count))]++;
  }
  return bars;
}
