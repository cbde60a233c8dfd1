// Compiles TypeScript for many programs in one process: the compiler and its library files are read once.
// Reads frames (eight bytes of length, then JSON {name, text}) from stdin and answers with frames
// {ok, files, text} on stdout. It never runs what it compiles.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const folder = process.argv[2];
const ts = require(path.join(folder, 'lib', 'typescript.js'));
const libraries = path.join(folder, 'lib');

const parsed = new Map();

function library(name, version) {
  const key = `${version} ${name}`;
  if (!parsed.has(key)) {
    const text = ts.sys.readFile(name);
    parsed.set(key, text === undefined ? undefined : ts.createSourceFile(name, text, version, true));
  }
  return parsed.get(key);
}

function compile(name, text, options) {
  const files = {};
  const host = {
    getSourceFile: (file, version) => {
      const target = typeof version === 'object' ? version.languageVersion : version;
      if (file === name) return ts.createSourceFile(file, text, version, true);
      return file.startsWith(libraries) ? library(file, target) : undefined;
    },
    getDefaultLibFileName: (given) => path.join(libraries, ts.getDefaultLibFileName(given)),
    getDefaultLibLocation: () => libraries,
    writeFile: (file, content) => { files[path.basename(file)] = content; },
    getCurrentDirectory: () => '/',
    getCanonicalFileName: (file) => file,
    useCaseSensitiveFileNames: () => true,
    getNewLine: () => '\n',
    fileExists: (file) => file === name || (file.startsWith(libraries) && ts.sys.fileExists(file)),
    readFile: (file) => (file === name ? text : file.startsWith(libraries) ? ts.sys.readFile(file) : undefined),
    directoryExists: (file) => file === '/' || file.startsWith(libraries),
    getDirectories: () => [],
  };
  const program = ts.createProgram([name], options, host);
  // Only the program's own file is checked and written: the libraries are the compiler's, and checking them again for
  // each program would take most of the time.
  const file = program.getSourceFile(name);
  const found = [
    ...program.getOptionsDiagnostics(),
    ...program.getSyntacticDiagnostics(file),
    ...program.getGlobalDiagnostics(),
    ...program.getSemanticDiagnostics(file),
    ...program.emit(file).diagnostics,
  ];
  return { ok: found.length === 0, files, text: ts.formatDiagnostics(found, host) };
}

// As the results of chat models were compiled, or else as those of base models.
const attempts = process.argv[3] === 'esnext' ? [{ target: ts.ScriptTarget.ESNext }] : [
  { target: ts.ScriptTarget.ES2015, lib: ['lib.es2015.d.ts', 'lib.dom.d.ts'] },
  {},
];

function answer(request) {
  let result;
  for (const options of attempts) {
    result = compile('/' + request.name, request.text, options);
    if (result.ok) break;
  }
  return result;
}

function readExactly(size) {
  const buffer = Buffer.alloc(size);
  for (let have = 0; have < size;) {
    const read = fs.readSync(0, buffer, have, size - have, null);
    if (read === 0) process.exit(0);
    have += read;
  }
  return buffer;
}

function writeAll(buffer) {
  for (let done = 0; done < buffer.length;) done += fs.writeSync(1, buffer, done);
}

for (;;) {
  const length = Number(readExactly(8).readBigUInt64BE());
  const request = JSON.parse(readExactly(length).toString('utf8'));
  const body = Buffer.from(JSON.stringify(answer(request)).replace(/[^\x00-\x7f]/g,
    (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')));
  const head = Buffer.alloc(8);
  head.writeBigUInt64BE(BigInt(body.length));
  writeAll(Buffer.concat([head, body]));
}
