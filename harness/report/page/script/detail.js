// One doc: prompt with its shots folded, target, and each run's answer.

function heading(text) {
  return make("h4", {}, text);
}

async function promptParts(store, prompt) {
  const parts = [];
  if (prompt.shots !== undefined) {
    const box = make("details", { className: "more" }, make("summary", {}, "Header and few-shots"));
    box.addEventListener("toggle", async () => {
      if (box.open && box.children.length === 1) box.append(block(await store.shots.at(prompt.shots)));
    });
    parts.push(box);
  }
  const queries = prompt.queries || [];
  queries.forEach((query, i) => {
    if (queries.length > 1) parts.push(make("p", { className: "quiet" }, `Text ${i + 1} of ${queries.length}`));
    parts.push(block(query, "asked"));
  });
  for (const [role, text] of prompt.turns || []) parts.push(make("p", { className: "quiet" }, whole(role)), block(text, "asked"));
  const fields = Object.entries(prompt.fields || {});
  if (fields.length) {
    parts.push(make("p", { className: "quiet" }, "The prompt was not published; the doc's fields:"));
    const list = make("dl", { className: "facts" });
    for (const [name, value] of fields) {
      if (!value.length && !value.head) continue;
      const short = typeof value === "string" && value.length < 120 && !value.includes("\n");
      const items = short ? [plain(value)] : Array.isArray(value) ? [make("ol", { type: "A" }, ...value.map((each) => make("li", {}, plain(whole(each)))))] : [block(value)];
      list.append(make("div", {}, make("dt", {}, plain(name)), make("dd", {}, ...items)));
    }
    parts.push(list);
  }
  if (!parts.length) parts.push(make("p", { className: "quiet" }, "The run's folder does not hold this prompt."));
  return parts;
}

// The choices with each run's log-likelihoods.
function choiceTable(store, entry, number) {
  const runs = store.runs.map((_, run) => run).filter((run) => entry.answers[run]?.likelihoods && entry.answers[run].prompt === number);
  if (!runs.length) return null;
  const prompt = entry.prompts[number];
  const one = entry.answers[runs[0]];
  const names = (prompt.choices || []).length === one.likelihoods.length ? prompt.choices : one.likelihoods.map((_, i) => `text ${i + 1}`);
  const head = make("tr", {}, make("th", { scope: "col" }, "Continuation"));
  for (const run of runs) head.append(make("th", { scope: "col", className: "num" }, plain(runs.length > 1 ? store.runs[run] : "log-likelihood")));
  const body = make("tbody");
  names.forEach((name, i) => {
    const row = make("tr", {}, make("th", { scope: "row" }, plain(whole(name))));
    for (const run of runs) {
      const values = entry.answers[run].likelihoods;
      const highest = values[i] === Math.max(...values);
      row.append(make("td", { className: highest ? "num best" : "num" }, values[i]?.toFixed(3) ?? "–"));
    }
    body.append(row);
  });
  return make("div", { className: "scroll" }, make("table", {}, make("thead", {}, head), body));
}

function facts(store, doc, run, answer) {
  const list = make("dl", { className: "facts" });
  const add = (name, ...value) => list.append(make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, ...value)));
  add("taken from it", answer.extracted === undefined ? "nothing" : plain(whole(answer.extracted)));
  add("rule", answer.rule === undefined ? "none fired" : plain(whole(answer.rule)));
  const metrics = Object.entries(answer.metrics).map(([name, value]) => `${name} ${value}`);
  add("metrics", metrics.length ? plain(metrics.join(", ")) : "none of its own");
  const raisedFlags = store.flags(doc, run);
  const said = { unparsed: "no answer found", truncated: "cut by the limit", differs: "the published verdict differs" };
  const raised = Object.keys(said).filter((name) => raisedFlags & store.flagBits[name]).map((name) => said[name]);
  if (raised.length) add("flags", raised.join(", "));
  if (answer.published) {
    const { verdict, extracted, flag } = answer.published;
    const words = verdict === null ? "none" : verdict >= 1 ? "right" : verdict <= 0 ? "wrong" : String(verdict);
    add("published verdict", plain(`${words}${extracted === null ? "" : `, answer ${whole(extracted)}`}${flag ? ` (in doubt: ${whole(flag)})` : ""}`));
  }
  return list;
}

// Nothing is shown when something else has been chosen (`stale`) before all of it was there.
async function showDetail(store, doc, state, stale) {
  const box = document.getElementById("detail");
  const entry = await store.docs.at(doc);
  const name = nameOf(store, doc);
  const parts = [];
  const back = make("a", { className: "back", href: hashOf({ ...state, doc: "" }) }, "← to the list");
  const link = make("a", { href: hashOf({ ...NOTHING, doc: name }), className: "quiet" }, "link to this sample");
  parts.push(make("p", { className: "ways" }, back, link), make("h3", {}, plain(name)));
  for (const [number, prompt] of entry.prompts.entries()) {
    const asked = store.runs.filter((_, run) => entry.answers[run]?.prompt === number).join(", ");
    parts.push(heading(entry.prompts.length > 1 ? plain(`Prompt of ${asked}`) : "Prompt"), ...(await promptParts(store, prompt)));
    parts.push(choiceTable(store, entry, number));
  }
  parts.push(heading("Target"), block(entry.target));
  for (const [run, answer] of entry.answers.entries()) {
    if (!answer) continue;
    const title = store.runs.length > 1 ? plain(store.runs[run]) : "Answer";
    parts.push(make("h4", { className: "answer-name" }, sign(store, doc, run), " ", title));
    if (answer.raw !== undefined) parts.push(block(answer.raw));
    parts.push(facts(store, doc, run, answer));
  }
  if (stale()) return;
  box.replaceChildren(...parts.filter((part) => part !== null));
  box.scrollTop = 0;
}
