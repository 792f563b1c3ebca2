/** How the languages known here write comments and strings: what a line counter must know of them. */

export interface Text {
  readonly open: string
  readonly close: string
  /** A backslash takes the next character out of play. */
  readonly escape: boolean
  /** Goes on over line ends. Others end with their line, which keeps a stray quote from swallowing the file. */
  readonly multiline: boolean
}

export interface Block {
  readonly open: string
  readonly close: string
  readonly nested?: boolean
  /** Opens and closes only at the start of a line. */
  readonly atLineStart?: boolean
}

export interface Syntax {
  /** Markers of comments that run to the end of the line. */
  readonly line?: ReadonlyArray<string>
  /** Line markers count only where the line begins. */
  readonly lineStartOnly?: boolean
  readonly ignoreCase?: boolean
  readonly blocks?: ReadonlyArray<Block>
  readonly strings?: ReadonlyArray<Text>
  /** JavaScript's template literals with `${}` and regular expression literals. */
  readonly script?: boolean
  /** `'x'` and `'\n'` are characters; any other `'` (a lifetime, a prime) means nothing. */
  readonly characters?: boolean
}

const quoted = (quote: string, multiline = false): Text => ({ open: quote, close: quote, escape: true, multiline })
const raw = (open: string, close = open, multiline = true): Text => ({ open, close, escape: false, multiline })

const single = quoted("'")
const double = quoted('"')
const cBlock: Block = { open: "/*", close: "*/" }
const markup: Block = { open: "<!--", close: "-->" }
const docstrings: ReadonlyArray<Block> = [
  { open: '"""', close: '"""' },
  { open: "'''", close: "'''" }
]

const starting = (...line: ReadonlyArray<string>): Syntax => ({ line, lineStartOnly: true })
const c: Syntax = { line: ["//"], blocks: [cBlock], strings: [double, single] }
const nestedC: Syntax = { ...c, blocks: [{ ...cBlock, nested: true }] }
const hash: Syntax = starting("#")
const script: Syntax = { ...c, script: true }
const css: Syntax = { blocks: [cBlock], strings: [double, single] }
const html: Syntax = { blocks: [markup] }
/** Triple-quoted text is documentation, as in `cloc`. */
const python: Syntax = { line: ["#"], blocks: docstrings, strings: [double, single] }
const lisp: Syntax = { line: [";"], blocks: [{ open: "#|", close: "|#", nested: true }], strings: [quoted('"', true)] }
const haskell: Syntax = {
  line: ["--"],
  blocks: [{ open: "{-", close: "-}", nested: true }],
  strings: [double],
  characters: true
}
const ml: Syntax = {
  blocks: [{ open: "(*", close: "*)", nested: true }],
  strings: [quoted('"', true)],
  characters: true
}
const plain: Syntax = {}

/**
 * By the name that `linguist` gives the language. Where two languages claim an extension, the first here has it, so
 * the order is part of the table: the common ones first, XML with its hundred extensions last.
 */
export const syntaxes: Readonly<Record<string, Syntax>> = {
  TypeScript: script,
  TSX: script,
  JavaScript: script,
  Python: python,
  Java: { ...c, strings: [raw('"""'), double, single] },
  Go: { ...c, strings: [double, single, raw("`")] },
  Rust: {
    line: ["//"],
    blocks: [{ ...cBlock, nested: true }],
    strings: [raw('r##"', '"##'), raw('r#"', '"#'), quoted('"', true)],
    characters: true
  },
  C: c,
  "C++": c,
  "C#": { ...c, strings: [raw('"""'), { ...raw('@"', '"') }, double, single] },
  "Objective-C": c,
  "Objective-C++": c,
  Kotlin: { ...nestedC, strings: [raw('"""'), double, single] },
  Scala: { ...nestedC, strings: [raw('"""'), double], characters: true },
  Swift: { ...nestedC, strings: [quoted('"""', true), double] },
  Dart: { ...nestedC, strings: [quoted('"""', true), quoted("'''", true), double, single] },
  PHP: { line: ["//", "#"], blocks: [cBlock], strings: [quoted('"', true), quoted("'", true)] },
  Ruby: { line: ["#"], lineStartOnly: true, blocks: [{ open: "=begin", close: "=end", atLineStart: true }] },
  Perl: {
    line: ["#"],
    lineStartOnly: true,
    blocks: [
      ...["=pod", "=head", "=over", "=item", "=begin", "=for", "=encoding"].map((open) => ({
        open,
        close: "=cut",
        atLineStart: true
      })),
      // Nothing below is run.
      ...["__END__", "__DATA__"].map((open) => ({ open, close: "\0", atLineStart: true }))
    ]
  },
  Shell: hash,
  fish: hash,
  PowerShell: {
    line: ["#"],
    blocks: [{ open: "<#", close: "#>" }],
    strings: [raw('"', '"', false), raw("'", "'", false)]
  },
  Batchfile: { ...starting("rem ", "rem\t", "@rem ", "::"), ignoreCase: true },
  Lua: {
    line: ["--"],
    blocks: [
      { open: "--[===[", close: "]===]" },
      { open: "--[==[", close: "]==]" },
      { open: "--[=[", close: "]=]" },
      { open: "--[[", close: "]]" }
    ],
    strings: [double, single]
  },
  R: hash,
  Julia: {
    line: ["#"],
    blocks: [{ open: "#=", close: "=#", nested: true }, ...docstrings.slice(0, 1)],
    strings: [double]
  },
  Elixir: {
    line: ["#"],
    blocks: ["@moduledoc", "@doc", "@typedoc"].flatMap((attribute) =>
      ["", "~S", "~s"].map((sigil) => ({ open: `${attribute} ${sigil}"""`, close: '"""' }))
    ),
    strings: [quoted('"""', true), quoted("'''", true), quoted('"', true)]
  },
  Erlang: starting("%"),
  Haskell: haskell,
  Elm: haskell,
  PureScript: haskell,
  Idris: haskell,
  OCaml: ml,
  "F#": { ...ml, line: ["//"], strings: [raw('"""'), quoted('"', true)] },
  "Standard ML": ml,
  Clojure: starting(";"),
  "Common Lisp": lisp,
  "Emacs Lisp": starting(";"),
  Scheme: lisp,
  Racket: lisp,
  Groovy: { ...c, strings: [quoted('"""', true), quoted("'''", true), double, single] },
  Gradle: { ...c, strings: [quoted('"""', true), quoted("'''", true), double, single] },
  SQL: { line: ["--"], blocks: [cBlock], strings: [raw("'", "'", true)] },
  PLSQL: { line: ["--"], blocks: [cBlock], strings: [raw("'", "'", true)] },
  HTML: html,
  CSS: css,
  SCSS: c,
  Less: c,
  Sass: c,
  Stylus: c,
  Vue: { ...c, blocks: [markup, cBlock] },
  Svelte: html,
  Astro: { ...c, blocks: [markup, cBlock] },
  Markdown: html,
  MDX: html,
  reStructuredText: plain,
  AsciiDoc: { line: ["//"], lineStartOnly: true, blocks: [{ open: "////", close: "////", atLineStart: true }] },
  TeX: starting("%"),
  Text: plain,
  YAML: hash,
  JSON: plain,
  JSON5: c,
  "JSON with Comments": c,
  TOML: hash,
  INI: starting(";", "#"),
  "Java Properties": starting("#", "!"),
  CSV: plain,
  TSV: plain,
  "Jupyter Notebook": plain,
  D: { ...c, blocks: [cBlock, { open: "/+", close: "+/", nested: true }], strings: [double, single, raw("`")] },
  Dockerfile: hash,
  Makefile: hash,
  CMake: hash,
  Meson: hash,
  Starlark: python,
  HCL: { ...c, line: ["//", "#"], strings: [double] },
  Nix: { line: ["#"], blocks: [cBlock], strings: [raw("''"), quoted('"', true)] },
  "Go Module": c,
  "Protocol Buffer": c,
  GraphQL: { line: ["#"], blocks: docstrings.slice(0, 1), strings: [double] },
  Thrift: { ...c, line: ["//", "#"] },
  Solidity: c,
  Zig: { line: ["//"], strings: [double], characters: true },
  Nim: { line: ["#"], blocks: [{ open: "#[", close: "]#", nested: true }], strings: [raw('"""'), double] },
  Crystal: hash,
  Gleam: { line: ["//"], strings: [quoted('"', true)] },
  ReScript: { ...c, strings: [double, raw("`")] },
  CoffeeScript: {
    line: ["#"],
    blocks: [{ open: "###", close: "###" }],
    strings: [...['"""', "'''"].map((q) => quoted(q, true)), double, single]
  },
  Assembly: { line: [";", "#", "//", "@", "|", "!", "--"], lineStartOnly: true, blocks: [cBlock] },
  WebAssembly: { line: [";;"], blocks: [{ open: "(;", close: ";)", nested: true }], strings: [double] },
  Cuda: c,
  GLSL: c,
  HLSL: c,
  Verilog: c,
  SystemVerilog: c,
  V: { ...c, strings: [double, single, raw("`", "`", false)] },
  VHDL: starting("--"),
  Ada: starting("--"),
  "Fortran Free Form": starting("!"),
  Fortran: { ...starting("!", "C ", "c ", "*"), ignoreCase: false },
  Pascal: {
    line: ["//"],
    blocks: [
      { open: "{", close: "}" },
      { open: "(*", close: "*)" }
    ],
    strings: [raw("'", "'", false)]
  },
  COBOL: starting("*"),
  "Visual Basic .NET": starting("'"),
  VBScript: starting("'"),
  MATLAB: { line: ["%"], lineStartOnly: true, blocks: [{ open: "%{", close: "%}", atLineStart: true }] },
  Prolog: { line: ["%"], blocks: [cBlock], strings: [double, single] },
  Tcl: hash,
  Awk: hash,
  "Vim script": starting('"'),
  Handlebars: { blocks: [{ open: "{{!--", close: "--}}" }, { open: "{{!", close: "}}" }, markup] },
  Mustache: { blocks: [{ open: "{{!", close: "}}" }] },
  "HTML+ERB": { blocks: [{ open: "<%#", close: "%>" }, markup] },
  "HTML+EEX": { blocks: [{ open: "<%#", close: "%>" }, { open: "<%!--", close: "--%>" }, markup] },
  Pug: starting("//"),
  Haml: starting("-#"),
  Puppet: { line: ["#"], blocks: [cBlock], strings: [double, single] },
  SVG: html,
  XSLT: html,
  "XML Property List": html,
  XML: html
}

/** Headers belong to both languages, and nothing in the name tells which. */
export const headers = { name: "C/C++ Header", syntax: c, extensions: [".h", ".hh", ".hpp", ".hxx", ".h++", ".inl"] }

/** Names under which a dialect is counted. */
export const families: Readonly<Record<string, string>> = {
  TSX: "TypeScript",
  "Fortran Free Form": "Fortran",
  "JSON with Comments": "JSON"
}

/** Prose is known by its extension alone: a LICENSE is no line of code. */
export const prose: ReadonlySet<string> = new Set(["Text", "Markdown"])

/** Extensions that name no language on their own: too many claim them. */
export const ambiguous: ReadonlySet<string> = new Set([".inc", ".cgi", ".fcgi", ".cls", ".in", ".1", ".frm", ".spec"])
