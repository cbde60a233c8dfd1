// Wiring: theme, sorting, the address, keys.

function setUpTheme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const dark = () => getComputedStyle(root).getPropertyValue("color-scheme").trim() === "dark" || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => (button.textContent = dark() ? "Light" : "Dark");
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  button.hidden = false;
  name();
}

function setUpColumns() {
  const box = document.getElementById("all-columns");
  box?.addEventListener("change", () => document.querySelector("#table").classList.toggle("all", box.checked));
}

// Tables of parts can be sorted by any column of figures.
function setUpSorting() {
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const valued = (row, at) => Number.parseFloat(row.cells[at].textContent.replace(/[^\d.-]/g, ""));
    heads.forEach((head, at) => {
      if (!head.matches(".num, :first-child")) return;
      const button = make("button", { type: "button", className: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== (at ? "descending" : "ascending");
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", (at === 0) === down ? "ascending" : "descending");
        const sign = (at === 0) === down ? 1 : -1;
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          if (at === 0) return sign * a.cells[0].textContent.localeCompare(b.cells[0].textContent);
          const [x, y] = [valued(a, at), valued(b, at)];
          return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y);
        });
        table.tBodies[0].append(...rows);
      });
    });
  }
}

async function setUpSamples() {
  const form = document.getElementById("filter");
  if (!form || !document.getElementById("data-meta") && document.readyState !== "loading") return;
  const store = await openStore();
  const browser = document.getElementById("browser");
  const option = (value, text) => make("option", { value }, text);
  form.row.append(...store.rows.map((row) => option(row.title, row.title)));
  form.run.append(...store.runs.map((run, i) => option(String(i), run)));
  form.against.append(...store.runs.map((run, i) => option(String(i), run)));
  for (const label of form.querySelectorAll(".several")) label.hidden = store.runs.length < 2;

  let state = readState();
  let found = new Uint32Array();
  let view = { page: 1, pages: 1 };
  let searching = 0;
  let showing = 0;
  let chosenBy = null;

  const draw = (done) => (view = showList(store, found, state, done));

  // Everything on the screen follows from the address.
  function follow() {
    state = readState();
    const [run, other] = sides(store, state);
    for (const field of ["row", "verdict", "flag", "flip"]) form[field].value = state[field];
    form.run.value = String(run);
    form.against.value = String(other);
    if (document.activeElement !== form.q) form.q.value = state.q;
    const { doc, page, ...wanted } = state;
    const key = JSON.stringify(wanted);
    const place = state.doc ? placeOf(store, state.doc) : -1;
    if (key !== chosenBy) {
      chosenBy = key;
      const mine = ++searching;
      const chosen = choose(store, state);
      found = state.q ? [] : chosen;
      draw(state.q ? 0 : 1);
      if (state.q) {
        search(store, chosen, state.q, () => mine !== searching, (docs, done) => {
          found = docs;
          draw(done);
        });
      }
    } else draw(1);
    browser.classList.toggle("open", place >= 0);
    const mine = ++showing;
    if (place >= 0) showDetail(store, place, state, () => mine !== showing);
    else {
      const words = state.doc ? `There is no sample ${state.doc} here.` : "Choose a sample to see its prompt and answers.";
      document.getElementById("detail").replaceChildren(make("p", { className: "quiet" }, plain(words)));
    }
  }

  function go(changes) {
    state = { ...state, ...changes };
    history.replaceState(null, "", hashOf(state));
    follow();
  }

  // Bring a deep link's samples into view.
  function arrive() {
    if (location.hash.includes("=")) document.getElementById("samples").scrollIntoView();
  }

  form.hidden = browser.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target !== form.q) go({ [event.target.name]: event.target.value, page: "1", doc: "" });
  });
  let waiting;
  form.q.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => go({ q: form.q.value, page: "1", doc: "" }), 150);
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    form.q.value = "";
    go(NOTHING);
  });
  document.getElementById("before").addEventListener("click", () => go({ page: String(view.page - 1) }));
  document.getElementById("after").addEventListener("click", () => go({ page: String(view.page + 1) }));
  window.addEventListener("hashchange", () => {
    if (location.hash.includes("=") || location.hash === "#samples") follow();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      form.q.focus();
    } else if ((event.key === "j" || event.key === "k") && browser.getClientRects().length) {
      const links = [...document.querySelectorAll("#list a")];
      const at = links.findIndex((link) => link.hasAttribute("aria-current"));
      const next = links[event.key === "j" ? at + 1 : Math.max(0, at - 1)];
      if (next) {
        // not by a click: the address would change too late for a second key
        history.pushState(null, "", next.hash);
        follow();
        document.querySelector("#list a[aria-current]")?.focus();
      }
    }
  });
  follow();
  arrive();
  document.documentElement.dataset.ready = "yes";
}

setUpTheme();
setUpColumns();
setUpSorting();
setUpSamples();
