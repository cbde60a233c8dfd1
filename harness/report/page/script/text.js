// What models and data sets wrote, as text: nothing here makes markup of a string.

const SHOWN = 20000; // characters of one text; the rest on demand
// control characters, separators, bidirectional marks and overrides, private use for none: shown by their number
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufffe\uffff]/g;

function make(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Text nodes, with a visible sign for every character that cannot be seen or turns the text around.
function plain(text) {
  const parts = document.createDocumentFragment();
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    parts.append(text.slice(from, found.index));
    const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.append(make("span", { className: "unseen", title: "U+" + code }, "‹" + code + "›"));
    from = found.index + found[0].length;
  }
  parts.append(text.slice(from));
  return parts;
}

// A text that was cut in the middle is an object; what is left of it as one string.
function whole(text) {
  return typeof text === "string" ? text : text.head + " … " + text.tail;
}

// A block of text; what is very long is opened by a button.
function block(text, className) {
  const box = make("pre", { className: "text " + (className || ""), dir: "auto", tabIndex: 0 });
  if (typeof text !== "string") {
    const left = make("span", { className: "left-out" }, ` … ${text.left.toLocaleString("en")} characters are left out … `);
    box.append(plain(text.head), left, plain(text.tail));
    return box;
  }
  if (!text) {
    box.append(make("span", { className: "left-out" }, "(empty)"));
    return box;
  }
  box.append(plain(text.slice(0, SHOWN)));
  if (text.length > SHOWN) {
    const more = make("button", { type: "button" }, `Show all ${text.length.toLocaleString("en")} characters`);
    more.addEventListener("click", () => {
      more.remove();
      box.append(plain(text.slice(SHOWN)));
    });
    box.append(make("br"), more);
  }
  return box;
}

// One line for a list.
function line(text, most) {
  const flat = whole(text).slice(0, most * 4).replace(/\s+/g, " ").trim();
  return plain(flat.length > most ? flat.slice(0, most) + " …" : flat);
}
