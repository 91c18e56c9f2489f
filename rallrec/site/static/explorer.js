// The explorer: knobs on the left, AUC over K and the paired difference to a pinned baseline on the right.
//
// Each data set is a script that calls `rallrecExplorer.add(record)`, so that the page also works as a file without a
// server. `rallrec/site/explorer.py` says what a record holds. The view is in the address's fragment.
"use strict";

const rallrecExplorer = (() => {
  const base = document.currentScript.src.replace(/[^/]*$/, "") + "explorer/";
  const SVG = "http://www.w3.org/2000/svg";
  const PARTS = { valid: "validation", test: "test" };
  const FIELDS = ["reader", "representation", "weights", "selector"];
  const CHOICE = [...FIELDS, "alpha", "recent", "k"];
  const SELECTORS = {
    recent: "The last K ratings.",
    high: "The K most similar items, most similar first.",
    sequential: "The K most similar items in time order: a vote does not see the order.",
    rerank: "The paper's: the K most similar and the K most recent compete.",
    released: "The released code's: the newest of the similar ones, then recent ones.",
    learned: "Ours: LightGBM ranks what is likely to agree with the target.",
  };
  const DEFAULT = { reader: "vote", representation: "mixture", weights: "", selector: "rerank", alpha: "", recent: "" };
  const WIDTH = 1.959964; // standard deviations on each side of a 95 % interval
  const records = {}; // by data set
  const examples = {}; // users, by data set
  const waiting = {}; // promises of records, by data set
  let root, names, state, controls;

  // --- numbers -------------------------------------------------------------------------------------

  // The numbers of each axis: of n the character 32 + 2 n, below zero 31 - 2 n.
  const unpacked = (text) =>
    Int16Array.from(text, (c) => {
      const code = c.charCodeAt(0) - 32;
      return code % 2 ? -(code + 1) / 2 : code / 2;
    });

  function add(record) {
    for (const part of Object.values(record.parts)) part.points = part.points.map(unpacked);
    records[record.dataset] = record;
  }

  const value = (part, i) => part.auc[i] / 1e5;
  const spread = (part, i, j) =>
    part.step * Math.sqrt(part.points.reduce((sum, axis) => sum + (axis[i] - (j < 0 ? 0 : axis[j])) ** 2, 0));

  // The AUC of prediction i, or its difference to that of j, with the 95 % interval.
  function estimate(part, i, j = -1) {
    const middle = (part.auc[i] - (j < 0 ? 0 : part.auc[j])) / 1e5;
    const half = WIDTH * spread(part, i, j);
    return { value: middle, low: middle - half, high: middle + half, same: i === j };
  }

  const verdict = (e) => (e.same ? "same" : e.low > 0 ? "better" : e.high < 0 ? "worse" : "inconclusive");
  const fixed = (x, sign) => (sign && x >= 0 ? "+" : "") + x.toFixed(3).replace("-", "−");
  const interval = (e, sign) => `${fixed(e.value, sign)} [${fixed(e.low, sign)}, ${fixed(e.high, sign)}]`;

  // --- what applies ----------------------------------------------------------------------------------

  // Why a knob changes nothing under a choice, by the knob; what is not named here applies.
  function reasons(record, choice) {
    const why = {};
    if (!record.reads_items.includes(choice.selector)) {
      const reads = choice.selector === "recent" ? "reads no representation" : "reads four representations of its own";
      why.representation = why.weights = `The selector “${choice.selector}” ${reads}.`;
    } else if (choice.representation !== "mixture") {
      why.weights = "Weights are measured for the representation “mixture”.";
    }
    if (choice.reader !== "vote") why.weights ??= `“${choice.reader}” is measured for equal weights only.`;
    for (const [selector, option] of Object.entries(record.options)) {
      if (choice.selector !== selector) why[option] = `Only the selector “${selector}” takes it.`;
      else if (choice.reader !== "vote") why[option] = `“${choice.reader}” is measured for the default only.`;
      else if (choice.weights && !why.weights) why[option] = "With other weights, the default only is measured.";
    }
    return why;
  }

  // The choice without what does not apply to it.
  function effective(record, choice) {
    const why = reasons(record, choice);
    return Object.fromEntries(CHOICE.map((name) => [name, name in why ? DEFAULT[name] : choice[name]]));
  }

  function curve(record, part, choice) {
    const c = effective(record, choice);
    const option = c[record.options[c.selector]] ?? "";
    const reads = record.reads_items.includes(c.selector);
    const key = [c.reader, reads ? c.representation : "", c.weights, c.selector, option].join("|");
    return record.parts[part].curves[key];
  }

  const ks = (record) => record.axes.k.map((k) => k.name);
  const at = (record, choice) => ks(record).indexOf(choice.k);
  const label = (record, name, of) => record.axes[name].find((each) => each.name === of).label;

  // The flags that make the row, in the order of the axes.
  function command(record, choice) {
    const c = effective(record, choice);
    const reads = record.reads_items.includes(c.selector);
    const flags = Object.entries(record.axes).map(([name, axis]) =>
      name === "representation" && !reads ? "" : axis.find((each) => each.name === c[name]).flag
    );
    return record.command + flags.join("");
  }

  function described(record, choice) {
    const c = effective(record, choice);
    const said = [];
    if (record.reads_items.includes(c.selector)) {
      said.push(c.representation + (c.weights ? ` ${c.weights.replaceAll(" ", " : ")}` : ""));
    }
    said.push(c.selector);
    if (c.selector === "rerank") {
      const chosen = c.alpha || record.alpha[`${c.representation}|${c.weights}`][at(record, c)];
      said.push(`α = ${chosen}${c.alpha ? "" : " (by validation)"}`);
    }
    if (c.selector === "released") said.push(`share of recent items ${label(record, "recent", c.recent)}`);
    said.push(`K = ${c.k}`, c.reader);
    return said.join(", ");
  }

  const paper = (record) => ({ ...DEFAULT, k: String(record.k) });
  const pinned = (record) => state.pin ?? paper(record);
  const same = (record, a, b) => {
    const [x, y] = [effective(record, a), effective(record, b)];
    return CHOICE.every((name) => x[name] === y[name]);
  };

  // --- the address -----------------------------------------------------------------------------------

  const packedPin = (pin) => CHOICE.map((name) => pin[name]).join("|");

  function fragment(record) {
    const said = new URLSearchParams({ dataset: state.dataset });
    if (state.part !== "valid") said.set("part", state.part);
    const start = paper(record);
    for (const name of CHOICE) if (state[name] !== start[name]) said.set(name, state[name]);
    if (state.pin) said.set("pin", packedPin(state.pin));
    return "#" + said;
  }

  function fromFragment() {
    const text = location.hash.slice(1);
    const said = new URLSearchParams(text.includes("=") ? text : "");
    const has = (list, name) => (list.includes(said.get(name)) ? said.get(name) : list[0]);
    const next = { dataset: has(names.map((each) => each.name), "dataset"), part: has(["valid", "test"], "part") };
    const given = Object.fromEntries(CHOICE.filter((name) => said.has(name)).map((name) => [name, said.get(name)]));
    const pin = said.get("pin")?.split("|");
    next.pin = pin?.length === CHOICE.length ? Object.fromEntries(CHOICE.map((name, i) => [name, pin[i]])) : null;
    return { next, given };
  }

  // A choice whose values the data set has; the paper's in the place of others.
  function known(record, choice) {
    const start = paper(record);
    const has = (name) => record.axes[name].some((each) => each.name === choice[name]);
    return Object.fromEntries(CHOICE.map((name) => [name, has(name) ? choice[name] : start[name]]));
  }

  async function follow() {
    const { next, given } = fromFragment();
    const record = await load(next.dataset);
    state = { ...next, ...known(record, given), pin: next.pin && known(record, next.pin) };
    draw();
  }

  // --- elements --------------------------------------------------------------------------------------

  function html(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, of] of Object.entries(attributes))
      name in made && typeof of !== "string" ? (made[name] = of) : made.setAttribute(name, of);
    made.append(...children);
    return made;
  }

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, of] of Object.entries(attributes)) made.setAttribute(name, of);
    made.append(...children);
    return made;
  }

  const script = (src) =>
    new Promise((done, failed) => {
      const made = html("script", { src });
      made.onload = done;
      made.onerror = () => failed(new Error(`${src} can't be read`));
      document.head.append(made);
    });

  const load = (name) => (waiting[name] ??= script(`${base}${name}.js`).then(() => records[name]));

  function knob(name, text, control) {
    const box = html("div", { class: "knob", "data-knob": name });
    const head = html("label", { class: "name" }, text);
    if (control.id) head.htmlFor = control.id;
    box.append(head, control);
    return box;
  }

  const list = (name) => html("select", { id: `explorer-${name}`, onchange: (e) => set({ [name]: e.target.value }) });

  function slider(name) {
    const input = html("input", { type: "range", id: `explorer-${name}`, min: "0", step: "1" });
    const shown = html("output", { for: input.id });
    input.oninput = () => set({ [name]: records[state.dataset].axes[name][input.value].name });
    return { input, shown, box: html("div", { class: "slider" }, input, shown) };
  }

  function build() {
    controls = Object.fromEntries(["dataset", "reader", "representation", "selector", "alpha"].map((n) => [n, list(n)]));
    controls.k = slider("k");
    controls.recent = slider("recent");
    controls.weights = html("div", { class: "simplex", role: "radiogroup", "aria-label": "Weights of the mixture" });
    controls.part = html("input", { type: "checkbox", id: "explorer-part" });
    controls.part.onchange = (e) => set({ part: e.target.checked ? "test" : "valid" });
    controls.dataset.append(...names.map((each) => html("option", { value: each.name }, each.title)));
    controls.dataset.onchange = async (e) => change(e.target.value);
    const button = (text, onclick) => html("button", { type: "button", onclick }, text);
    controls.pin = button("Pin this choice as the baseline", () => set({ pin: chosen() }));
    controls.unpin = button("Baseline: the paper's method", () => set({ pin: null }));
    controls.reset = button("Reset the knobs", () => set(paper(records[state.dataset])));
    const knobs = html(
      "form",
      { class: "knobs", "aria-label": "Knobs", onsubmit: (e) => e.preventDefault() },
      knob("dataset", "Data set", controls.dataset),
      knob("representation", "Representation", controls.representation),
      knob("weights", "Weights of its parts; the bluer, the higher the AUC", controls.weights),
      knob("selector", "Selector", controls.selector),
      knob("k", "K, items shown", controls.k.box),
      knob("alpha", "α, similarity against recency", controls.alpha),
      knob("recent", "Share of recent items", controls.recent.box),
      knob("reader", "Reader", controls.reader),
      html(
        "div",
        { class: "knob switch", "data-knob": "part" },
        controls.part,
        html("label", { for: "explorer-part" }, "Show test samples: to report a choice, not to make one")
      ),
      html("div", { class: "buttons" }, controls.reset)
    );
    for (const each of ["k", "recent"]) knobs.querySelector(`[data-knob=${each}] label`).htmlFor = `explorer-${each}`;
    controls.about = html("p", { class: "about" });
    knobs.querySelector("[data-knob=selector]").append(controls.about);
    controls.sentence = html("p", { class: "sentence", "aria-live": "polite" });
    controls.baseline = html("p", { class: "baseline" });
    controls.figure = html("div", { class: "chart" });
    controls.command = html("code");
    controls.copy = button("Copy", () => copy());
    controls.table = html("div", { class: "numbers" });
    controls.limits = html("p", { class: "limits" });
    const result = html(
      "div",
      { class: "result" },
      controls.figure,
      controls.baseline,
      html("div", { class: "buttons" }, controls.pin, controls.unpin),
      html("p", { class: "note" }, "The command that makes this row, on test samples and beside the paper's method:"),
      html("div", { class: "command" }, html("pre", {}, controls.command), controls.copy),
      html("details", {}, html("summary", {}, "The numbers"), controls.table),
      controls.limits
    );
    root.replaceChildren(controls.sentence, knobs, result);
    new ResizeObserver(() => records[state.dataset] && figure(records[state.dataset])).observe(controls.figure);
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(controls.command.textContent);
      controls.copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(controls.command); // a page without a server has no clipboard
      controls.copy.textContent = "Selected";
    }
    setTimeout(() => (controls.copy.textContent = "Copy"), 1500);
  }

  const chosen = () => Object.fromEntries(CHOICE.map((name) => [name, state[name]]));

  function set(some) {
    Object.assign(state, some);
    history.replaceState(null, "", fragment(records[state.dataset]));
    draw();
  }

  async function change(dataset) {
    controls.sentence.textContent = "Loading …";
    try {
      const record = await load(dataset);
      set({ dataset, ...known(record, chosen()), pin: state.pin && known(record, state.pin) });
    } catch (error) {
      controls.sentence.textContent = error.message;
    }
  }

  // --- drawing ---------------------------------------------------------------------------------------

  function draw() {
    const record = records[state.dataset];
    const why = reasons(record, state);
    for (const box of root.querySelectorAll("[data-knob]")) {
      const reason = why[box.dataset.knob];
      box.classList.toggle("off", Boolean(reason));
      reason ? (box.title = reason) : box.removeAttribute("title");
      for (const control of box.querySelectorAll("select, input")) control.disabled = Boolean(reason);
    }
    controls.dataset.value = state.dataset;
    controls.about.textContent = SELECTORS[state.selector] ?? "";
    controls.part.checked = state.part === "test";
    root.classList.toggle("on-test", state.part === "test");
    for (const name of ["reader", "representation", "selector", "alpha"]) {
      if (controls[name].record !== record) offer(record, name);
      controls[name].value = (name in why ? DEFAULT : state)[name];
    }
    for (const name of ["k", "recent"]) {
      const axis = record.axes[name];
      controls[name].input.max = String(axis.length - 1);
      const value = (name in why ? DEFAULT : state)[name];
      controls[name].input.value = String(axis.findIndex((each) => each.name === value));
      const shown = label(record, name, value);
      controls[name].shown.textContent = shown;
      controls[name].input.setAttribute("aria-valuetext", shown);
    }
    simplex(record);
    said(record);
    figure(record);
    numbers(record);
  }

  function offer(record, name) {
    const options = record.axes[name].map((each) => html("option", { value: each.name }, each.label));
    const missing = (name === "representation" ? record.missing : []).map((each) =>
      html("option", { disabled: true, title: "Not measured on these data." }, `${each} (not measured here)`)
    );
    controls[name].replaceChildren(...options, ...missing);
    controls[name].record = record;
  }

  // The weights as a triangle: a corner is one part alone. A dot's shade is the AUC of its weights.
  function simplex(record) {
    const part = record.parts[state.part];
    const axis = record.axes.weights;
    const plain = { ...state, alpha: DEFAULT.alpha, recent: DEFAULT.recent }; // all that other weights have
    const auc = (each) => value(part, curve(record, state.part, { ...plain, weights: each.name })[at(record, state)]);
    const off = "weights" in reasons(record, state);
    const aucs = off ? axis.map(() => 0) : axis.map(auc);
    const sorted = [...aucs].sort((a, b) => a - b); // one poor corner would leave the others alike
    const [low, high] = [sorted[Math.floor(sorted.length / 4)], sorted.at(-1)];
    if (controls.weights.childElementCount !== axis.length + 3) {
      const corners = ["text", "graph", "aligned"].map((name, i) => html("span", { class: `corner at-${i}` }, name));
      const dots = axis.map((each) => {
        const [text, graph, aligned] = each.label.split(" ").map(Number);
        const sum = text + graph + aligned;
        const [x, y] = [(aligned + text / 2) / sum, 1 - text / sum];
        const dot = html("input", { type: "radio", name: "explorer-weights", value: each.name });
        dot.style.left = `${10 + 80 * x}%`;
        dot.style.top = `${16 + 68 * y}%`;
        dot.onchange = () => set({ weights: each.name });
        return dot;
      });
      controls.weights.replaceChildren(...corners, ...dots);
    }
    [...controls.weights.querySelectorAll("input")].forEach((dot, i) => {
      const share = high > low ? Math.max(0, (aucs[i] - low) / (high - low)) : 0.5;
      dot.style.setProperty("--share", off ? "0%" : `${Math.round(100 * share)}%`);
      const said = `text ${axis[i].label.replace(" ", ", graph ").replace(/ (\d+)$/, ", aligned $1")}`;
      dot.setAttribute("aria-label", off ? said : `${said}: AUC ${fixed(aucs[i])}`);
      dot.checked = dot.value === (off ? "" : state.weights);
      dot.disabled = off;
      off ? dot.removeAttribute("title") : (dot.title = `${said}: AUC ${fixed(aucs[i])}`);
    });
  }

  function said(record) {
    const part = record.parts[state.part];
    const base = pinned(record);
    const [i, j] = [state, base].map((choice) => curve(record, state.part, choice)[at(record, choice)]);
    const [mine, gap] = [estimate(part, i), estimate(part, i, j)];
    const itself = same(record, state, base);
    const found = verdict(gap);
    const finding = {
      same: itself ? "This is the pinned baseline" : "The same predictions as the pinned baseline",
      better: "Better than the pinned baseline",
      worse: "Worse than the pinned baseline",
      inconclusive: "Inconclusive against the pinned baseline",
    }[found];
    const difference = found === "same" ? "" : `, a difference of ${interval(gap, true)}`;
    controls.sentence.dataset.verdict = found;
    controls.sentence.replaceChildren(
      html("strong", {}, finding),
      ` on ${PARTS[state.part]} samples of ${record.title}: AUC ${interval(mine)}${difference}. `,
      html("span", { class: "choice" }, `Chosen: ${described(record, state)}.`)
    );
    const which = state.pin ? "" : "the paper's method: ";
    controls.baseline.textContent =
      `Pinned baseline: ${which}${described(record, base)}; AUC ${interval(estimate(part, j))}. ` +
      `${part.n.toLocaleString("en")} samples of ${part.users.toLocaleString("en")} users.`;
    controls.pin.disabled = itself;
    controls.unpin.disabled = !state.pin;
    controls.reset.disabled = CHOICE.every((name) => state[name] === paper(record)[name]);
    const [verb, ...flags] = command(record, state).split(" --"); // a flag stays in one line
    controls.command.replaceChildren(verb, ...flags.flatMap((flag) => [" ", html("span", {}, `--${flag}`)]));
    const checked = part.checked;
    const caveat =
      state.part === "test"
        ? "Test samples are for one choice, made on validation samples: the best of many looks better than it is. "
        : "";
    const old = record.changed_code.length
      ? `Measured before ${record.changed_code.join(", ")} changed: rallrec explorer measures anew. `
      : "";
    const untimed = record.timed ? "" : "These data have no timestamps: recent items are random ones. ";
    controls.limits.textContent =
      `${old}${caveat}${untimed}Intervals are 95 % user intervals of one comparison each. Their ends differ from those of 1,000 ` +
      `bootstrap resamples by ${checked.ends[0]} (median) and ${checked.ends[1]} (worst of ${checked.pairs} pairs); ` +
      `another seed of the bootstrap differs by ${checked.seeds[0]} and ${checked.seeds[1]}.`;
  }

  function rows(record) {
    const part = record.parts[state.part];
    const base = pinned(record);
    const j = curve(record, state.part, base)[at(record, base)];
    const [mine, theirs] = [state, base].map((choice) => curve(record, state.part, choice));
    return ks(record).map((k, n) => ({
      k,
      auc: value(part, mine[n]),
      base: value(part, theirs[n]),
      gap: estimate(part, mine[n], j),
    }));
  }

  function numbers(record) {
    const head = ["K", "AUC", "Baseline's AUC at this K", "Difference to the pinned point", "95 % interval", ""];
    const body = rows(record).map((row) =>
      html(
        "tr",
        row.k === state.k ? { class: "chosen" } : {},
        ...[
          row.k,
          fixed(row.auc),
          fixed(row.base),
          row.gap.same ? "0" : fixed(row.gap.value, true),
          row.gap.same ? "" : `${fixed(row.gap.low, true)} to ${fixed(row.gap.high, true)}`,
          row.gap.same ? "identical predictions" : verdict(row.gap),
        ].map((text) => html("td", {}, text))
      )
    );
    const titles = head.map((text) => html("th", { scope: "col" }, text));
    controls.table.replaceChildren(
      html("table", {}, html("thead", {}, html("tr", {}, ...titles)), html("tbody", {}, ...body))
    );
  }

  // Round values between low and high, at most `most`.
  function ticks(low, high, most) {
    const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2].find((each) => (high - low) / each <= most) ?? 0.5;
    const made = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9; n++) made.push(n * step);
    return made;
  }

  function figure(record) {
    const width = Math.max(280, Math.floor(controls.figure.clientWidth));
    const [left, right, top, upper, between, lower, bottom] = [52, 14, 24, 180, 44, 130, 40];
    const height = top + upper + between + lower + bottom;
    const of = rows(record);
    const base = pinned(record);
    const x = (n) => left + 14 + (n * (width - left - right - 28)) / (of.length - 1);
    const scale = (values, from, tall, least) => {
      let [low, high] = [Math.min(...values), Math.max(...values)];
      const pad = Math.max((high - low) * 0.12, (least - (high - low)) / 2);
      [low, high] = [low - pad, high + pad];
      return { low, high, y: (v) => from + tall - ((v - low) / (high - low)) * tall };
    };
    const above = scale(of.flatMap((row) => [row.auc, row.base]), top, upper, 0.02);
    const ends = of.flatMap((row) => [row.gap.low, row.gap.high, 0]);
    const below = scale(ends, top + upper + between, lower, 0.01);
    const made = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    made.append(svg("title", {}, `AUC over K, and the difference to the pinned baseline. ${controls.sentence.textContent}`));
    const text = (at, up, content, attributes = {}) => svg("text", { x: at, y: up, ...attributes }, content);
    const axis = (panel, decimals) => {
      for (const tick of ticks(panel.low, panel.high, 5)) {
        made.append(
          svg("line", { class: "grid", x1: left, x2: width - right, y1: panel.y(tick), y2: panel.y(tick) }),
          text(left - 6, panel.y(tick) + 4, tick.toFixed(decimals).replace("-", "−"), { class: "tick", "text-anchor": "end" })
        );
      }
    };
    axis(above, 3);
    axis(below, 3);
    const narrow = width < 430;
    made.append(
      text(left, 14, `AUC, ${PARTS[state.part]}${narrow ? "" : " samples"}`, { class: "panel" }),
      text(left, top + upper + between - 10, narrow ? "Minus the pinned baseline" : "Difference to the pinned baseline, 95 % interval", {
        class: "panel",
      })
    );
    const path = (name) => of.map((row, n) => `${n ? "L" : "M"}${x(n)},${above.y(row[name])}`).join("");
    made.append(svg("path", { class: "line base", d: path("base") }), svg("path", { class: "line mine", d: path("auc") }));
    const p = at(record, base);
    const [px, py] = [x(p), above.y(of[p].base)];
    made.append(svg("path", { class: "pinned", d: `M${px},${py - 6}L${px + 6},${py}L${px},${py + 6}L${px - 6},${py}Z` }));
    made.append(svg("line", { class: "zero", x1: left, x2: width - right, y1: below.y(0), y2: below.y(0) }));
    of.forEach((row, n) => {
      const here = row.k === state.k;
      const found = verdict(row.gap);
      const name = here ? "chosen" : "other";
      const group = svg("g", { class: `point ${name} ${found}`, "data-k": row.k });
      const told = `K = ${row.k}: AUC ${fixed(row.auc)}, ` + (row.gap.same ? "identical to the baseline" : `difference ${interval(row.gap, true)}, ${found}`);
      const near = (of.length > 1 ? x(1) - x(0) : 40) / 2;
      group.append(
        svg("title", {}, told),
        svg("rect", { class: "hit", x: x(n) - near, y: top, width: 2 * near, height: height - top - bottom }),
        svg("circle", { cx: x(n), cy: above.y(row.auc), r: here ? 6 : 3.5 }),
        svg("line", { class: "whisker", x1: x(n), x2: x(n), y1: below.y(row.gap.low), y2: below.y(row.gap.high) }),
        svg("circle", { class: "gap", cx: x(n), cy: below.y(row.gap.value), r: here ? 5.5 : 3.5 }),
        text(x(n), height - bottom + 18, row.k, { class: "tick k", "text-anchor": "middle" })
      );
      group.addEventListener("click", () => set({ k: row.k }));
      made.append(group);
    });
    made.append(text(left + (width - left - right) / 2, height - 4, "K, items shown", { class: "tick", "text-anchor": "middle" }));
    const c = at(record, state);
    const [cx, cy] = [x(c), above.y(of[c].auc)];
    const anchor = c > of.length - 3 ? "end" : "start";
    const up = of[c].auc < of[c].base ? 20 : -9; // away from the other line
    made.append(text(cx + (anchor === "end" ? -10 : 10), cy + up, fixed(of[c].auc), { class: "value", "text-anchor": anchor }));
    legend(made, width, right);
    controls.figure.replaceChildren(made);
  }

  function legend(made, width, right) {
    const group = svg("g", { class: "legend", transform: `translate(${width - right - 150}, 10)` });
    group.append(
      svg("line", { class: "line mine", x1: 0, x2: 20, y1: 0, y2: 0 }),
      svg("text", { x: 25, y: 4 }, "chosen"),
      svg("line", { class: "line base", x1: 80, x2: 100, y1: 0, y2: 0 }),
      svg("text", { x: 105, y: 4 }, "pinned")
    );
    made.append(group);
  }

  // --- example users ---------------------------------------------------------------------------------

  async function people() {
    const shown = names.filter((each) => each.users);
    if (!shown.length) return;
    const which = html("select", { "aria-label": "Data set of the example users" });
    which.append(...shown.map((each) => html("option", { value: each.name }, each.title)));
    const who = html("select", { "aria-label": "Example user" });
    const step = (by, text) =>
      html("button", { type: "button", "aria-label": by < 0 ? "Previous user" : "Next user", onclick: () => turn(by) }, text);
    const table = html("div", { class: "person" });
    const about = html("p", { class: "note" });
    let of;
    const turn = (by) => {
      who.selectedIndex = (who.selectedIndex + by + who.length) % who.length;
      person();
    };
    const person = () => table.replaceChildren(...onePerson(of, of.users[who.selectedIndex]));
    const open = async () => {
      await script(`${base}${which.value}-users.js`);
      of = examples[which.value];
      who.replaceChildren(...of.users.map((each, i) => html("option", { value: String(i) }, `user ${each.user}`)));
      about.textContent =
        `What each selector shows of one sample at K = ${of.k}, with the mixture, in the prompt's order. ` +
        "The bar at a title's left tells a like (blue) from a dislike (orange).";
      person();
    };
    which.onchange = open;
    who.onchange = person;
    const box = html("section", { class: "users" }, html("h3", {}, "Example users"), about);
    box.append(html("div", { class: "buttons" }, which, step(-1, "‹"), who, step(1, "›")), table);
    root.append(box);
    await open();
  }

  const percent = (p) => `${Math.round(100 * p)} %`;

  function onePerson(of, user) {
    const target = html("p", {}, "Target: ", html("strong", {}, of.titles[user.target]));
    target.append(user.liked ? ", which the user liked." : ", which the user did not like.");
    const head = Object.entries(user.shown).map(([name, shown]) => {
      const p = `P(like): vote ${percent(shown.p)}` + (shown.llm === null ? "" : `, LLM ${percent(shown.llm)}`);
      return html("th", { scope: "col" }, name, html("small", {}, p));
    });
    const cells = Object.values(user.shown).map((shown) => {
      const items = shown.items.map(([title, rating, liked]) =>
        html("span", { class: liked ? "item liked" : "item" }, `${of.titles[title]} · ${rating}`)
      );
      return html("td", {}, ...items);
    });
    const table = html("table", {}, html("thead", {}, html("tr", {}, ...head)));
    table.append(html("tbody", {}, html("tr", {}, ...cells)));
    return [target, table];
  }

  async function start() {
    root = document.getElementById("explorer");
    if (!root) return;
    try {
      await script(`${base}index.js`);
      state = {};
      const { next } = fromFragment();
      await load(next.dataset);
      build();
      await follow();
      addEventListener("hashchange", follow);
      await people();
    } catch (error) {
      root.replaceChildren(html("p", { class: "error" }, `The explorer can't start: ${error.message}.`));
      throw error;
    }
  }

  document.readyState === "loading" ? addEventListener("DOMContentLoaded", start) : start();
  return {
    add,
    index: (given) => (names = given),
    users: (given) => (examples[given.dataset] = given),
  };
})();
