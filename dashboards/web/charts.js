// Charts. They are drawn with rounded figures; the exact ones are in their legend and in the table beside each.
import { by, usd } from "./parts.js";
import uPlot from "./vendor/uPlot.esm.js";

const HEIGHT = 240;
const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
export const MOST = COLOURS.length;

const drawn = new Map();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const height = (amount) => (amount === null ? null : Number(amount)); // the one place where money is a number: a drawing
const dollars = (value) => `$${value.toLocaleString("en", { maximumSignificantDigits: 3 })}`;

// Draws series, each with a name, amounts (decimal texts or null), a colour and heights, in place of what was there.
function draw(id, at, series, xWords, looks) {
  const holder = by(id);
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--soft"), grid, ticks: grid };
  const exact = (_, __, place, index) => (index === null ? "–" : usd(series[place - 1].amounts[index]));
  const chart = {
    width: holder.clientWidth || 300,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: looks.scales,
    cursor: looks.cursor,
    hooks: looks.hooks,
    axes: [{ ...axis, ...looks.axis }, { ...axis, size: 64, values: (_, ticks) => ticks.map(dollars) }],
    series: [
      { label: "At", value: (_, value) => (value === null ? "–" : xWords(value)) },
      ...series.map((one) => ({ label: one.name, value: exact, stroke: one.colour, points: { show: false }, ...looks.of(one) })),
    ],
  };
  drawn.get(id)?.destroy();
  drawn.set(id, new uPlot(chart, [at, ...series.map((one) => one.heights)], holder));
}

// Days where they begin, hours between them.
const ticked = (ticks) =>
  ticks.map((seconds) => {
    const at = new Date(seconds * 1000);
    if (seconds % 86400) return at.toISOString().slice(11, 16);
    return at.toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" });
  });

// Bars over time, stacked; `at` are seconds, `step` apart. What a mouse draws over is told to `zoom`, in seconds.
export function bars(id, at, step, series, xWords, zoom) {
  const sums = at.map(() => 0);
  const stacked = series.map((one, place) => ({
    ...one,
    colour: colour(COLOURS[place]),
    heights: one.amounts.map((amount, index) => (sums[index] += height(amount) ?? 0)),
  }));
  const over = (chart) => {
    const { left, width } = chart.select;
    if (width > 4) zoom(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
  };
  draw(id, at, stacked.reverse(), xWords, {
    // the highest first, the others before it
    scales: { x: { range: (_, low, high) => [low - step / 2, high + step / 2] }, y: { range: (_, __, high) => [0, high || 1] } },
    axis: { values: (_, ticks) => ticked(ticks) },
    cursor: { drag: { x: true, y: false, setScale: false } },
    hooks: { setSelect: [over] },
    of: (one) => ({ fill: one.colour, paths: uPlot.paths.bars({ size: [0.8, 60] }) }),
  });
}

// Lines over any figure.
export function lines(id, at, series, xWords) {
  const ways = series.map((one, place) => ({ ...one, place, colour: colour(COLOURS[place]), heights: one.amounts.map(height) }));
  draw(id, at, ways, xWords, {
    scales: { x: { time: false } },
    axis: { values: (_, ticks) => ticks.map(xWords) },
    of: (one) => ({ width: 2, dash: one.place ? [9, 2 + 3 * one.place] : undefined }), // not told by colour alone
  });
}

export function prepare(again) {
  const fit = () => {
    for (const [id, chart] of drawn) {
      const width = by(id).clientWidth;
      if (width && width !== chart.width) chart.setSize({ width, height: HEIGHT });
    }
  };
  new ResizeObserver(fit).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
}
