// The list of docs that were found, fifty at a time.

const PAGE = 50;
const SIGNS = { absent: ["·", "not asked"], wrong: ["✗", "wrong"], partly: ["◐", "partly right"], right: ["✓", "right"], open: ["–", "no verdict of its own"] };

function sign(store, doc, run) {
  const value = store.verdict(doc, run);
  const name = Object.keys(store.verdicts).find((each) => store.verdicts[each] === value);
  const [mark, words] = SIGNS[name];
  const said = store.runs.length > 1 ? `${store.runs[run]}: ${words}` : words;
  return make("span", { className: "sign " + name, title: said, role: "img", ariaLabel: said }, mark);
}

function question(entry) {
  const prompt = entry.prompts[0] || {};
  if (prompt.queries) return prompt.queries[0];
  if (prompt.turns) return prompt.turns.findLast((turn) => turn[0] === "user")?.[1] || "";
  const fields = prompt.fields || {};
  return [fields.question, fields.problem, fields.prompt, ...Object.values(fields)].find((each) => typeof each === "string") || "";
}

// Draw one page of docs; the texts follow together as soon as they are unpacked: one by one, each would be painted.
function showList(store, found, state, done) {
  const list = document.getElementById("list");
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const page = Math.min(numbered(state.page, pages + 1, 1) || 1, pages);
  const start = (page - 1) * PAGE;
  const shown = Array.from(found.slice(start, start + PAGE));
  const texts = shown.map(() => make("span", { className: "snippet", dir: "auto" }, "\u00a0"));
  list.start = start + 1;
  list.replaceChildren(
    ...shown.map((doc, i) => {
      const name = nameOf(store, doc);
      const signs = make("span", { className: "signs" }, ...store.runs.map((_, run) => sign(store, doc, run)));
      const title = make("span", { className: "doc-name" }, plain(name));
      const link = make("a", { href: hashOf({ ...state, page: String(page), doc: name }) }, signs, title, texts[i]);
      if (name === state.doc) link.setAttribute("aria-current", "true");
      return make("li", {}, link);
    }),
  );
  Promise.allSettled(shown.map((doc) => store.docs.at(doc))).then((read) => {
    read.forEach((each, i) => each.value && texts[i].replaceChildren(line(question(each.value), 110)));
  });
  document.getElementById("count").textContent =
    `${found.length.toLocaleString("en")} of ${store.n.toLocaleString("en")} docs` + (done < 1 ? ` … searching, ${Math.round(done * 100)} %` : "");
  document.getElementById("place").textContent = `${page.toLocaleString("en")} of ${pages.toLocaleString("en")}`;
  document.getElementById("before").disabled = page <= 1;
  document.getElementById("after").disabled = page >= pages;
  return { page, pages };
}
