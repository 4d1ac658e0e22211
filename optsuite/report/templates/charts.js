const DATA = JSON.parse(document.getElementById("data").textContent);

const AXES = {
  steps: { name: "steps", label: "training step", per: () => 1 },
  time: { name: "time", label: "time, s", per: (line) => line.seconds },
  flops: { name: "FLOPs", label: "floating-point operations", per: (line) => line.flops },
};
const FULL_BANDS = 4; // as many lie over one another at full opacity
const MOST_PLATEAUS = 8;
const MOST_AT_FIRST = 10; // lines of a chart, before the reader asks for others
const GRID_POINTS = 201;

function show(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const rounded = Number(value.toPrecision(4)), size = Math.abs(rounded);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) return rounded.toExponential().replace("e+", "e");
  return rounded.toLocaleString("en", { maximumSignificantDigits: 4 });
}

// Values have as many digits as those beside them; ticks have few.
function told(value) {
  const words = show(value), isPlain = /^-?[\d.]+$/.test(words) && Math.abs(value) < 1000;
  return isPlain && value !== 0 ? value.toPrecision(4) : words;
}

// Views: what a chart shows, each line at the points of one x axis; undefined where a line has no point.

function interpolated(xs, ys, grid) {
  let i = 0;
  return grid.map((x) => {
    if (x > xs[xs.length - 1] * (1 + 1e-9)) return undefined;
    while (i < xs.length - 2 && xs[i + 1] < x) i += 1;
    if (xs.length === 1 || x <= xs[i]) return ys[i];
    const left = ys[i], right = ys[i + 1];
    if (left === null || right === null) return x === xs[i + 1] ? right : null;
    return left + (right - left) * Math.min(1, (x - xs[i]) / (xs[i + 1] - xs[i]));
  });
}

const union = (lists) => [...new Set(lists.flat())].sort((a, b) => a - b);
const bands = (band, at) => ({ mid: at(band.mid), low: at(band.low), high: at(band.high) });

function curvesView(lines, axis) {
  const { per, label } = AXES[axis];
  const shown = lines.filter((line) => per(line));
  const ends = shown.map((line) => line.x[line.x.length - 1] * per(line));
  const end = Math.max(...ends);
  const x = axis === "steps"
    ? union(shown.map((line) => line.x))
    : Array.from({ length: GRID_POINTS }, (_, i) => (end * i) / (GRID_POINTS - 1));
  const series = shown.map((line) => {
    const xs = line.x.map((step) => step * per(line));
    return { line, ...bands(line, (ys) => interpolated(xs, ys, x)) };
  });
  return { x, series, xLabel: label, yLabel: "training loss", left: lines.filter((line) => !per(line)) };
}

function alignedView(lines, part, x, xsOf, labels) {
  const shown = lines.filter(part);
  const series = shown.map((line) => {
    const places = new Map(xsOf(part(line)).map((value, i) => [value, i]));
    const at = (ys) => x.map((value) => (places.has(value) ? ys[places.get(value)] : undefined));
    return { line, ...bands(part(line), at) };
  });
  return { x, series, left: [], ...labels };
}

function lrView(lines) {
  const part = (line) => line.lr;
  const x = union(lines.filter(part).map((line) => line.lr.x));
  const labels = { xLabel: "learning rate", yLabel: "final training loss", xLog: true };
  return alignedView(lines, part, x, (lr) => lr.x, labels);
}

function bestOfView(lines) {
  const part = (line) => line["best-of"];
  const counts = (band) => band.mid.map((_, i) => i + 1);
  const x = union(lines.filter(part).map((line) => counts(part(line))));
  return alignedView(lines, part, x, counts, { xLabel: "settings tried", yLabel: "final loss of the best" });
}

function profilesView(lines) {
  const labels = { xLabel: "score", yLabel: "share of tasks and seeds", range: [0, 1.02], xLog: lines[0].x[0] > 0 };
  return alignedView(lines, (line) => line, union(lines.map((line) => line.x)), (line) => line.x, labels);
}

const VIEWS = { curves: curvesView, lr: lrView, "best-of": bestOfView, profiles: profilesView };

// Ticks of logarithmic axes: powers of ten, with more between them where there are few.

function logTicks(low, high) {
  const decades = Math.log10(high / low);
  if (decades < 0.35) return niceTicks(low, high);
  const parts = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : decades > 1.05 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  const ticks = [], step = Math.max(1, Math.ceil(decades / 8));
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += step) {
    for (const part of parts) ticks.push(Number(`${part}e${power}`));
  }
  return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
}

function niceTicks(low, high) {
  const rough = (high - low) / 5, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((part) => part * unit).find((part) => part >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9); i += 1) ticks.push(Number((i * step).toPrecision(6)));
  return ticks;
}

class Chart {
  constructor(panel, box) {
    this.panel = panel;
    this.box = box;
    this.kind = box.dataset.kind;
    this.figure = box.closest("figure");
    this.axis = "steps";
    this.isLog = this.kind !== "profiles";
    this.plot = null;
    this.addTools();
    box.addEventListener("keydown", (event) => this.step(event));
    box.addEventListener("blur", () => this.leave());
  }

  addTools() {
    const log = this.figure.querySelector("button.log"), axis = this.figure.querySelector("select.axis");
    log?.addEventListener("click", () => {
      this.isLog = !this.isLog;
      log.setAttribute("aria-pressed", String(this.isLog));
      this.make();
    });
    if (!axis) return;
    for (const [key, { name, per }] of Object.entries(AXES)) {
      if (this.panel.lines.some((line) => per(line))) axis.append(new Option(name, key));
    }
    axis.addEventListener("change", () => {
      this.axis = axis.value;
      this.make();
    });
  }

  get ink() { return getComputedStyle(this.box).color; }
  get gridInk() { return getComputedStyle(this.box).borderTopColor; }
  get opacity() { // of bands, in two hexadecimal digits: many lie over one another
    const shown = this.view.series.filter(({ line }) => !this.panel.hidden.has(line.place)).length;
    return Math.ceil(38 * Math.min(1, (FULL_BANDS / shown) ** 1.5)).toString(16).padStart(2, "0");
  }
  get paper() { return getComputedStyle(document.body).backgroundColor; }
  get width() { return Math.max(200, this.box.clientWidth); }
  get height() { return Math.round(Math.min(340, Math.max(240, this.width * 0.55))); }

  make() {
    this.plot?.destroy();
    this.view = VIEWS[this.kind](this.panel.lines, this.axis);
    const { x, series } = this.view;
    const data = [x, ...series.flatMap(({ mid, low, high }) => [mid, low, high])];
    this.plot = new uPlot(this.options(), data, this.box);
    this.sayLeft();
  }

  options() {
    const { series, xLog, xLabel, yLabel } = this.view;
    const hasBands = this.kind !== "lr";
    return {
      width: this.width,
      height: this.height,
      legend: { show: false },
      focus: { alpha: 0.2 },
      padding: [10, 24, 0, 0],
      cursor: {
        y: false,
        points: { one: true, size: 7 },
        focus: { prox: 40, dist: (_, i, __, at, cursor) => (i % 3 === 1 ? Math.abs(at - cursor) : Infinity) },
      },
      scales: {
        x: { time: false, distr: xLog ? 3 : 1, range: (_, low, high) => this.xRange(low, high) },
        y: { distr: this.isLog ? 3 : 1, range: (plot) => this.yRange(plot) },
      },
      axes: [this.axisOptions(xLabel, xLog, 34), this.axisOptions(yLabel, this.isLog, 52)],
      series: [{}, ...series.flatMap(({ line }) => this.seriesOptions(line))],
      bands: hasBands
        ? series.map(({ line }, i) => ({ series: [3 * i + 3, 3 * i + 2], fill: () => look(line).color + this.opacity }))
        : [],
      hooks: {
        setCursor: [(plot) => this.read(plot)],
        setSeries: [(_, i, options) => "focus" in options && this.panel.near(i === null ? null : series[(i - 1) / 3 | 0]?.line)],
        draw: [(plot) => this.draw(plot)],
      },
    };
  }

  seriesOptions(line) {
    const { color, dash } = look(line), isShown = !this.panel.hidden.has(line.place);
    const bound = { show: isShown, width: 0, stroke: "transparent", points: { show: false } };
    const hasPoints = this.kind === "lr" || this.kind === "best-of";
    return [
      { show: isShown, stroke: color, width: 1.75, dash: dash.map((part) => part * 2.2), points: { show: hasPoints, size: 5, fill: color, stroke: color } },
      bound,
      bound,
    ];
  }

  axisOptions(label, isLog, size) {
    return {
      label,
      size,
      labelSize: 20,
      labelGap: 2,
      gap: 4,
      font: "11px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
      stroke: () => this.ink,
      grid: { stroke: () => this.gridInk, width: 1 },
      ticks: { show: false },
      values: (_, ticks) => ticks.map(show),
      ...(isLog ? { splits: (_, __, low, high) => logTicks(low, high), filter: (_, ticks) => ticks } : {}),
    };
  }

  xRange(low, high) {
    const margin = this.kind === "lr" && !this.isZoomed(low, high) ? 1.4 : 1;
    if (this.view.xLog) return low === high ? [low / 2, high * 2] : [low / margin, high * margin];
    return low === high ? [low - 1, high + 1] : [low, high];
  }

  isZoomed(low, high) {
    const { x } = this.view;
    return low > x[0] || high < x[x.length - 1];
  }

  yRange(plot) {
    if (this.view.range) return this.view.range;
    const { x, series } = this.view, { min, max } = plot.scales.x;
    const isWhole = min === null || min === undefined || !this.isZoomed(min, max);
    // Before a twentieth of the way losses are so high that little else would be seen.
    const from = isWhole ? (this.kind === "curves" ? x[0] + (x[x.length - 1] - x[0]) / 20 : -Infinity) : min;
    const to = isWhole ? Infinity : max;
    const values = [], starts = [];
    for (const { line, mid, low, high } of series) {
      if (this.panel.hidden.has(line.place)) continue;
      if (line.start) starts.push(line.start);
      x.forEach((at, i) => {
        if (at < from || at > to) return;
        for (const value of [low[i], mid[i], high[i]]) {
          if (Number.isFinite(value) && (value > 0 || !this.isLog)) values.push(value);
        }
      });
    }
    if (!values.length) return this.isLog ? [0.1, 1] : [0, 1];
    const least = values.reduce((a, b) => Math.min(a, b));
    let most = values.reduce((a, b) => Math.max(a, b));
    if (this.kind === "lr" && starts.length) most = Math.min(most, 1.1 * Math.max(...starts));
    if (most <= least) most = least + (Math.abs(least) || 1) * 0.1;
    if (this.isLog) return [least / (most / least) ** 0.05, most * (most / least) ** 0.05];
    return [least - (most - least) * 0.05, most + (most - least) * 0.05];
  }

  // Marks that are no lines: of learning rates, and the score of the reference.

  draw(plot) {
    const { ctx } = plot, px = uPlot.pxRatio;
    const at = (x, y) => [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    ctx.clip();
    if (this.kind === "profiles") {
      const [x] = at(1, 0);
      ctx.strokeStyle = this.ink;
      ctx.setLineDash([5 * px, 4 * px]);
      ctx.lineWidth = px;
      stroke(ctx, [[x, plot.bbox.top], [x, plot.bbox.top + plot.bbox.height]]);
    }
    if (this.kind === "lr") {
      const shown = this.view.series.filter(({ line }) => !this.panel.hidden.has(line.place));
      const crossed = shown.filter(({ line }) => line.lr.lost.some(Boolean));
      shown.forEach(({ line }) => this.drawRates(plot, line, at, shown.length <= MOST_PLATEAUS));
      crossed.forEach(({ line }, row) => this.drawCrosses(plot, line, row, crossed.length));
    }
    ctx.restore();
  }

  drawRates(plot, line, at, hasPlateaus) {
    const { ctx } = plot, px = uPlot.pxRatio, { lr } = line, { color } = look(line);
    ctx.strokeStyle = ctx.fillStyle = color;
    ctx.lineWidth = px;
    ctx.setLineDash([]);
    lr.x.forEach((x, i) => {
      if (lr.low[i] !== null && lr.high[i] !== null) stroke(ctx, [at(x, lr.low[i]), at(x, lr.high[i])]);
    });
    if (lr.best === null || lr.mid[lr.best] === null) return;
    const [x, y] = at(lr.x[lr.best], lr.mid[lr.best]);
    if (lr.plateau && hasPlateaus) {
      ctx.globalAlpha = 0.35;
      ctx.lineWidth = 7 * px;
      ctx.lineCap = "round";
      stroke(ctx, [[plot.valToPos(lr.plateau[0], "x", true), y], [plot.valToPos(lr.plateau[1], "x", true), y]]);
      ctx.globalAlpha = 1;
    }
    ctx.lineWidth = 1.5 * px;
    ctx.strokeStyle = this.paper;
    star(ctx, x, y, 8 * px);
    if (lr.edge) triangle(ctx, x + lr.edge * 11 * px, y, lr.edge * 6 * px);
  }

  drawCrosses(plot, line, row, rows) {
    const { ctx } = plot, px = uPlot.pxRatio, size = 3 * px;
    const y = plot.bbox.top + (row + 0.7) * Math.min(9 * px, (plot.bbox.height * 0.3) / rows);
    ctx.strokeStyle = look(line).color;
    ctx.lineWidth = 1.4 * px;
    ctx.setLineDash([]);
    line.lr.x.forEach((rate, i) => {
      if (!line.lr.lost[i]) return;
      const x = plot.valToPos(rate, "x", true);
      stroke(ctx, [[x - size, y - size], [x + size, y + size]]);
      stroke(ctx, [[x - size, y + size], [x + size, y - size]]);
    });
  }

  // Values under the cursor

  read(plot) {
    const { idx } = plot.cursor, { x, series, xLabel } = this.view;
    const reading = this.figure.querySelector(".reading");
    if (idx === null || idx === undefined) {
      reading.textContent = "";
      this.panel.tell(null);
      return;
    }
    const there = series.filter(({ line, mid }) => !this.panel.hidden.has(line.place) && Number.isFinite(mid[idx]));
    this.panel.tell(new Map(series.map(({ line, mid }) => [line.place, mid[idx]])));
    const sign = this.kind === "profiles" ? -1 : 1;
    const best = there.sort((a, b) => sign * (a.mid[idx] - b.mid[idx])).slice(0, 3);
    const words = best.map(({ line, mid, low, high }) => {
      const range = Number.isFinite(low[idx]) && low[idx] !== high[idx] ? ` [${told(low[idx])}, ${told(high[idx])}]` : "";
      return `${look(line).name} ${told(mid[idx])}${range}`;
    });
    const more = there.length > 3 ? `; ${there.length - 3} more` : "";
    reading.textContent = `${xLabel} ${show(x[idx])}: ${words.join("; ") || "no values"}${more}`;
  }

  step(event) {
    const { x, series } = this.view ?? {};
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!x || !(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) {
      if (event.key === "Escape") this.leave();
      return;
    }
    event.preventDefault();
    const last = x.length - 1, stride = Math.max(1, Math.round(last / 40));
    const now = this.plot.cursor.idx ?? (moves[event.key] > 0 ? -stride : x.length);
    const idx = Math.min(last, Math.max(0, now + stride * moves[event.key]));
    const lowest = series.find(({ line, mid }) => !this.panel.hidden.has(line.place) && Number.isFinite(mid[idx]));
    const top = lowest ? this.plot.valToPos(lowest.mid[idx], "y") : this.plot.over.clientHeight / 2;
    this.plot.setCursor({ left: this.plot.valToPos(x[idx], "x"), top });
  }

  leave() { this.plot?.setCursor({ left: -10, top: -10 }); }

  sayLeft() {
    const aside = this.figure.querySelector(".aside"), { left } = this.view;
    const names = left.map((line) => look(line).name).join(", ");
    aside.textContent = left.length ? `Not shown, no comparable ${AXES[this.axis].name}: ${names}.` : "";
  }

  update() {
    if (!this.plot) return;
    this.view.series.forEach(({ line }, i) => {
      const isShown = !this.panel.hidden.has(line.place);
      for (let part = 1; part <= 3; part += 1) {
        if (this.plot.series[3 * i + part].show !== isShown) this.plot.setSeries(3 * i + part, { show: isShown });
      }
    });
    this.plot.redraw(false, true);
  }

  resize(width = this.width, height = this.height) {
    if (this.plot && this.plot.width !== width) this.plot.setSize({ width, height });
  }
}

function stroke(ctx, points) {
  ctx.beginPath();
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

function star(ctx, x, y, radius) {
  ctx.beginPath();
  for (let i = 0; i < 10; i += 1) {
    const length = i % 2 ? radius * 0.42 : radius, angle = (Math.PI * i) / 5;
    ctx.lineTo(x + length * Math.sin(angle), y - length * Math.cos(angle));
  }
  ctx.closePath();
  ctx.fill();
  ctx.stroke();
}

function triangle(ctx, x, y, size) {
  ctx.beginPath();
  ctx.moveTo(x + size, y);
  ctx.lineTo(x, y - Math.abs(size) * 0.8);
  ctx.lineTo(x, y + Math.abs(size) * 0.8);
  ctx.closePath();
  ctx.fill();
}

const look = (line) => DATA.looks[line.place];

// Panel: the charts of a task, and the buttons that show and hide their optimizers.

class Panel {
  constructor(element) {
    const group = element.dataset.group;
    this.lines = (group === "profiles" ? DATA.profiles : DATA.groups[group]).lines;
    const others = this.lines.filter((line, i) => i >= MOST_AT_FIRST && !look(line).main);
    this.hidden = new Set(others.map((line) => line.place));
    this.buttons = new Map();
    this.charts = [...element.querySelectorAll(".chart")].map((box) => new Chart(this, box));
    this.addLegend(element.querySelector(".legend"));
    this.tell(null);
  }

  addLegend(legend) {
    for (const line of this.lines) {
      const button = legend.appendChild(document.createElement("button"));
      button.type = "button";
      button.append(swatch(look(line)), text("span", look(line).name, "name"), text("span", "", "value"));
      button.addEventListener("click", () => {
        if (!this.hidden.delete(line.place)) this.hidden.add(line.place);
        this.update();
      });
      this.buttons.set(line.place, button);
    }
    if (this.lines.length > 2) {
      legend.append(this.setter("All", []), this.setter("None", this.lines.map((line) => line.place)));
    }
    this.press();
  }

  setter(name, hidden) {
    const button = text("button", name, "plain");
    button.type = "button";
    button.addEventListener("click", () => {
      this.hidden = new Set(hidden);
      this.update();
    });
    return button;
  }

  press() {
    for (const [place, button] of this.buttons) button.setAttribute("aria-pressed", String(!this.hidden.has(place)));
  }

  update() {
    this.press();
    for (const chart of this.charts) chart.update();
  }

  near(line) {
    for (const [place, button] of this.buttons) button.classList.toggle("near", line?.place === place);
  }

  tell(values) {
    for (const line of this.lines) {
      const value = values ? values.get(line.place) : line.final;
      this.buttons.get(line.place).querySelector(".value").textContent = told(value);
    }
  }
}

function text(tag, words, name) {
  const element = document.createElement(tag);
  element.textContent = words;
  element.className = name;
  return element;
}

function swatch({ color, dash }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
  svg.setAttribute("viewBox", "0 0 28 8");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "M1 4H27");
  path.setAttribute("stroke", color);
  path.setAttribute("stroke-dasharray", dash.map((part) => part * 2.5).join(" "));
  return svg;
}

const panels = [...document.querySelectorAll(".panel")].map((element) => new Panel(element));
const charts = panels.flatMap((panel) => panel.charts);
const chartOf = new Map(charts.map((chart) => [chart.box, chart]));

function redraw() { for (const { plot } of charts) plot?.redraw(false, true); }

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting || chartOf.get(target).plot) continue;
    chartOf.get(target).make();
    sizes.observe(target);
  }
}, { rootMargin: "800px" });
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) if (!isPrinting) chartOf.get(target).resize();
});
for (const chart of charts) seen.observe(chart.box);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// A print is light, and its columns are narrower.

let isPrinting = false;

function print(begins) {
  if (begins === isPrinting) return;
  isPrinting = begins;
  if (begins) document.documentElement.dataset.theme = "light";
  else setTheme(theme);
  for (const chart of charts) {
    if (!chart.plot) chart.make();
    chart.plot.setSize(begins ? { width: 470, height: 270 } : { width: chart.width, height: chart.height });
  }
}

addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));
