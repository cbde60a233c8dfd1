// What is looked for: it stands in the address, so that every view is a link.

const NOTHING = { row: "", run: "0", verdict: "", flag: "", against: "", flip: "", q: "", page: "1", doc: "" };

function readState() {
  const hash = location.hash.slice(1);
  const state = { ...NOTHING };
  if (!hash.includes("=")) return state;
  for (const [key, value] of new URLSearchParams(hash)) if (key in state) state[key] = value;
  return state;
}

function hashOf(state) {
  const said = Object.entries(state).filter(([key, value]) => value !== NOTHING[key]);
  return "#" + (said.length ? new URLSearchParams(said) : "samples");
}

function numbered(text, most, otherwise) {
  const number = Number.parseInt(text, 10);
  return number >= 0 && number < most ? number : otherwise;
}

// The runs that are looked at: one, and another beside it for flips.
function sides(store, state) {
  const run = numbered(state.run, store.runs.length, 0);
  const other = numbered(state.against, store.runs.length, run === 0 ? 1 : 0);
  return [run, store.runs.length > 1 ? other : run];
}

// Places of all docs that fit everything but the searched text.
function choose(store, state) {
  const [run, other] = sides(store, state);
  const { verdicts, flagBits } = store;
  const verdict = verdicts[state.verdict];
  const flag = flagBits[state.flag];
  const row = store.rows.find((each) => each.title === state.row);
  const tasks = row ? row.tasks : store.tasks.map((_, i) => i);
  const found = new Uint32Array(store.n);
  let n = 0;
  for (const task of tasks) {
    for (let doc = store.starts[task], end = store.end(task); doc < end; doc++) {
      const own = store.verdict(doc, run);
      if (verdict !== undefined && own !== verdict) continue;
      if (flag !== undefined && !(store.flags(doc, run) & flag)) continue;
      if (state.flip) {
        const their = store.verdict(doc, other);
        if (own === their || !own || !their || own === verdicts.open || their === verdicts.open) continue;
        if (state.flip === "lost" && own < their) continue;
        if (state.flip === "won" && own > their) continue;
      }
      found[n++] = doc;
    }
  }
  return found.subarray(0, n);
}

// The place of a doc by its name, `task/id`; -1 where there is none.
function placeOf(store, name) {
  const slash = name.indexOf("/");
  const task = store.tasks.indexOf(name.slice(0, slash));
  if (task < 0) return -1;
  const place = store.ids.indexOf(name.slice(slash + 1), store.starts[task]);
  return place < store.end(task) ? place : -1;
}

function nameOf(store, doc) {
  return `${store.tasks[store.taskOf(doc)]}/${store.ids[doc]}`;
}

// Everything that is written in a doc, for the search; few-shots are not, since most docs share them.
function* wordsOf(entry) {
  yield entry.target;
  for (const prompt of entry.prompts) {
    yield* prompt.queries || [];
    yield* (prompt.turns || []).map((turn) => turn[1]);
    for (const field of Object.values(prompt.fields || {})) yield* Array.isArray(field) ? field : [field];
  }
  for (const answer of entry.answers) {
    if (!answer) continue;
    if (answer.raw !== undefined) yield answer.raw;
    if (answer.extracted !== undefined) yield answer.extracted;
    if (answer.rule !== undefined) yield answer.rule;
  }
}

// The docs among `chosen` that hold a text, reported piece by piece; `stopped` ends the search.
async function search(store, chosen, text, stopped, report) {
  const wanted = text.toLowerCase();
  const found = [];
  let pause = performance.now();
  for (let i = 0; i < chosen.length; ) {
    const number = store.docs.pieceOf(chosen[i]);
    const start = store.docs.starts[number];
    const entries = await store.docs.piece(number);
    if (stopped()) return;
    for (; i < chosen.length && chosen[i] < start + entries.length; i++) {
      const id = store.ids[chosen[i]].toLowerCase();
      if (id.includes(wanted)) found.push(chosen[i]);
      else
        for (const word of wordsOf(entries[chosen[i] - start]))
          if (whole(word).toLowerCase().includes(wanted)) {
            found.push(chosen[i]);
            break;
          }
    }
    if (performance.now() - pause > 40 || i >= chosen.length) {
      report(found, i / chosen.length);
      // let the page answer keys and draw
      await new Promise((done) => setTimeout(done));
      pause = performance.now();
    }
  }
  report(found, 1);
}
