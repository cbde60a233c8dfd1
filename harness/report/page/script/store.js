"use strict";
// The samples inside this file: gzip in base64, unpacked piece by piece when they are looked at.

const KEPT = 72; // unpacked pieces in memory, the least recently used go first

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function unpack(name) {
  let element = document.getElementById("data-" + name);
  if (!element && document.readyState === "loading") {
    // the pieces stand at the end of the file: this one has not been read yet
    await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
    element = document.getElementById("data-" + name);
  }
  if (!element) throw new Error("this file has no part " + name);
  const packed = new Blob([bytesOf(element.textContent)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip")));
}

// Lists that were packed in pieces; `starts` has the place of each piece's first entry.
class Pieces {
  constructor(name, starts) {
    this.name = name;
    this.starts = starts;
    this.kept = new Map();
  }

  pieceOf(place) {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  piece(number) {
    let found = this.kept.get(number);
    if (found) this.kept.delete(number);
    else found = unpack(`${this.name}-${number}`).then((response) => response.json());
    this.kept.set(number, found);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  async at(place) {
    const number = this.pieceOf(place);
    return (await this.piece(number))[place - this.starts[number]];
  }
}

// What is known of all samples without unpacking their texts.
async function openStore() {
  const meta = await (await unpack("meta")).json();
  const ids = (await (await unpack("ids")).text()).split("\n");
  const marks = new Uint8Array(await (await unpack("marks")).arrayBuffer());
  const runs = meta.runs.length;
  return {
    ...meta,
    ids,
    docs: new Pieces("docs", meta.docs),
    shots: new Pieces("shots", meta.shots),
    verdict: (doc, run) => marks[doc * runs + run] & 7,
    flagBits: meta.flags,
    flags: (doc, run) => marks[doc * runs + run] >> 3,
    end: (task) => (task + 1 < meta.starts.length ? meta.starts[task + 1] : meta.n),
    taskOf: (doc) => {
      let task = 0;
      while (task + 1 < meta.starts.length && meta.starts[task + 1] <= doc) task++;
      return task;
    },
  };
}
