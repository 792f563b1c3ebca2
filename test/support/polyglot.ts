/**
 * One small text in each of many languages, with its lines counted by hand. Strings that hold comment markers and code
 * beside comments are where counters go wrong, so they are in here; for `cloc`'s sake those texts are marked.
 */
export interface Sample {
  readonly file: string
  readonly language: string
  readonly text: string
  readonly code: number
  readonly comments: number
  readonly blanks: number
  /** `cloc` counts it otherwise, for the reason given. */
  readonly clocDiffers?: string
}

const sample = (
  language: string,
  file: string,
  [code, comments, blanks]: readonly [number, number, number],
  lines: ReadonlyArray<string>,
  clocDiffers?: string
): Sample => ({
  file,
  language,
  text: `${lines.join("\n")}\n`,
  code,
  comments,
  blanks,
  ...(clocDiffers !== undefined && { clocDiffers })
})

const slashes = (language: string, file: string, statement: string) =>
  sample(
    language,
    file,
    [2, 4, 2],
    ["// a comment", "", "/*", " * a longer", " */", `${statement} // beside code`, "  ", `${statement} /* inside */`]
  )

const hashes = (language: string, file: string, statement: string) =>
  sample(language, file, [2, 2, 1], ["# a comment", "", statement, "   # another", `${statement} # beside code`])

const markups = (language: string, file: string, element: string) =>
  sample(language, file, [2, 3, 1], [element, "<!-- a", "longer", "comment -->", "", element])

export const samples: ReadonlyArray<Sample> = [
  slashes("C", "a.c", "int a;"),
  slashes("C/C++ Header", "a.h", "int a;"),
  slashes("C++", "a.cpp", "int a;"),
  slashes("C#", "a.cs", "int a;"),
  slashes("Java", "a.java", "int a;"),
  slashes("Go", "a.go", "var a int"),
  slashes("Rust", "a.rs", "let a = 1;"),
  slashes("Swift", "a.swift", "let a = 1"),
  slashes("Kotlin", "a.kt", "val a = 1"),
  slashes("Scala", "a.scala", "val a = 1"),
  slashes("Dart", "a.dart", "var a = 1;"),
  slashes("JavaScript", "a.js", "let a"),
  slashes("TypeScript", "a.ts", "let a"),
  slashes("SCSS", "a.scss", "$a: 1;"),
  slashes("Less", "a.less", "@a: 1;"),
  slashes("Protocol Buffer", "a.proto", "int32 a = 1;"),
  slashes("Solidity", "a.sol", "uint a;"),
  slashes("GLSL", "a.glsl", "float a;"),
  slashes("Objective-C", "a.m", "int a;"),
  slashes("HCL", "a.tf", "a = 1"),
  hashes("Shell", "a.sh", "echo a"),
  hashes("Makefile", "Makefile", "A = 1"),
  hashes("Dockerfile", "Dockerfile", "RUN a"),
  hashes("YAML", "a.yml", "a: 1"),
  hashes("TOML", "a.toml", "a = 1"),
  hashes("R", "a.r", "a <- 1"),
  hashes("CMake", "CMakeLists.txt", "set(A 1)"),
  hashes("Awk", "a.awk", "BEGIN { a = 1 }"),
  hashes("Tcl", "a.tcl", "set a 1"),
  hashes("Crystal", "a.cr", "a = 1"),
  markups("HTML", "a.html", "<p>a</p>"),
  markups("XML", "a.xml", "<a/>"),
  markups("SVG", "a.svg", "<g/>"),
  markups("Markdown", "a.md", "a text"),
  sample("CSS", "a.css", [3, 2, 0], ["a {", "  /* a", "  comment */", "  color: red;", "}"]),
  sample("Ruby", "a.rb", [2, 4, 1], ["# a", "=begin", "text", "=end", "", "a = 1 # beside", "puts a"]),
  sample(
    "Perl",
    "a.pl",
    [2, 6, 2],
    ["#!/usr/bin/perl", "# a", "", "print 1; # beside", "=head1 NAME", "text", "=cut", "", "__END__", "not run"]
  ),
  sample("Lua", "a.lua", [2, 4, 0], ["-- a", "--[[ a", "longer", "]]", "local a = 1 -- beside", "print(a)"]),
  sample("Haskell", "a.hs", [2, 3, 1], ["-- a", "{- a", "longer -}", "", "a = 1 -- beside", "b = 2"]),
  sample("SQL", "a.sql", [1, 3, 1], ["-- a", "/* a", "longer */", "", "select 1; -- beside"]),
  sample("Erlang", "a.erl", [1, 1, 1], ["% a", "", "a() -> 1. % beside"]),
  sample(
    "Elixir",
    "a.ex",
    [3, 4, 0],
    ["# a", "defmodule A do", '  @doc """', "  text", '  """', "  def a, do: 1", "end"]
  ),
  sample("Clojure", "a.clj", [1, 1, 1], [";; a", "", "(def a 1) ; beside"]),
  sample("Ada", "a.adb", [1, 1, 0], ["-- a", "null; -- beside"]),
  sample("TeX", "a.tex", [1, 1, 0], ["% a", "text % beside"]),
  sample("INI", "a.ini", [2, 1, 1], ["; a", "", "[a]", "b = 1"]),
  sample("PowerShell", "a.ps1", [1, 3, 0], ["# a", "<# a", "longer #>", "$a = 1"]),
  sample("Batchfile", "a.bat", [1, 2, 0], ["REM a", ":: b", "echo a"]),
  sample("JSON", "a.json", [3, 0, 0], ["{", '  "a": 1', "}"]),
  sample(
    "Python",
    "a.py",
    [4, 4, 2],
    [
      "# a",
      "",
      "def a():",
      '    """What it does:',
      "",
      "    nothing.",
      '    """',
      "    b = 1  # beside",
      "    c = '# no comment'",
      "    return b"
    ]
  ),
  sample("PHP", "a.php", [2, 4, 0], ["<?php", "// a", "# b", "/* a", "longer */", "$a = 1; // beside"]),
  sample("OCaml", "a.ml", [1, 2, 0], ["(* a", "longer *)", "let a = 1 (* beside *)"]),
  sample("Julia", "a.jl", [1, 3, 0], ["# a", "#= a", "longer =#", "a = 1"]),
  sample("Zig", "a.zig", [1, 1, 0], ["// a", "const a = 1; // beside"]),
  sample(
    "Vue",
    "a.vue",
    [4, 3, 0],
    ["<template>", "<!-- a -->", "</template>", "<script>", "// a", "/* b */", "</script>"]
  ),
  sample(
    "TypeScript",
    "strings.ts",
    [8, 1, 0],
    [
      'const a = "/* no comment"',
      "const b = `// no ${`/* nor ${1} this`} comment`",
      'const c = /[/*`"]/.test(a)',
      "const d = 4 / 2 // 1 / 1",
      "const e = `",
      "// text",
      "`",
      "// a comment",
      "const f = '*/'"
    ],
    "it takes comment markers in strings for comments"
  ),
  sample(
    "Rust",
    "nested.rs",
    [4, 3, 0],
    [
      "/* a /* nested */",
      "still a comment */",
      "fn a<'a>(b: &'a str) -> char { '\"' }",
      "// a comment",
      'let c = r#"/* no comment"#;',
      'let d = "// no',
      'comment";'
    ],
    "it does not nest comments"
  )
]
