/** Functions and classes of a source text, found by tree-sitter's grammars. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import type { Language, Node, Parser, Query } from "@vscode/tree-sitter-wasm"
import type { Definitions } from "../../../services/tools/CodebaseAnalysis.ts"

interface Grammar {
  readonly file: string
  /** Captures: `@f` a named function, `@m` a method, `@a` any function that may lack a name, `@n` one that has one, `@c` a class. */
  readonly query: string
}

const arrows = "[(arrow_function) (function_expression) (generator_function)]"

const ecma = (field: string, extra = "") => `
(function_declaration) @f
(generator_function_declaration) @f
(method_definition) @m
(class_declaration) @c
(class) @c
${arrows} @a
(variable_declarator value: ${arrows} @n)
(assignment_expression right: ${arrows} @n)
(pair value: ${arrows} @n)
(${field} value: ${arrows} @o)
${extra}`

const typescript = ecma("public_field_definition", "(abstract_class_declaration) @c")

const grammars: Readonly<Record<string, Grammar>> = {
  TypeScript: { file: "typescript", query: typescript },
  TSX: { file: "tsx", query: typescript },
  JavaScript: { file: "javascript", query: ecma("field_definition") },
  Python: {
    file: "python",
    query: `(function_definition) @f
(class_definition body: (block (function_definition) @w))
(class_definition body: (block (decorated_definition (function_definition) @w)))
(class_definition) @c (lambda) @a (assignment right: (lambda) @n)`
  },
  Go: {
    file: "go",
    query: `(function_declaration body: (block)) @f (method_declaration body: (block)) @m (func_literal) @a
(type_spec type: (struct_type)) @c`
  },
  Rust: {
    file: "rust",
    query: `(function_item) @f
(impl_item body: (declaration_list (function_item) @w))
(trait_item body: (declaration_list (function_item) @w))
(struct_item) @c (enum_item) @c (union_item) @c (closure_expression) @a (let_declaration value: (closure_expression) @n)`
  },
  Java: {
    file: "java",
    query: `(method_declaration body: (block)) @m (constructor_declaration) @m (compact_constructor_declaration) @m
(class_declaration) @c (record_declaration) @c (enum_declaration) @c (lambda_expression) @a`
  },
  Ruby: { file: "ruby", query: "(method) @m (singleton_method) @m (class) @c (lambda) @a" },
  PHP: {
    file: "php",
    query: `(function_definition) @f (method_declaration body: (compound_statement)) @m
(class_declaration) @c (trait_declaration) @c (enum_declaration) @c (anonymous_function) @a (arrow_function) @a`
  },
  "C#": {
    file: "c-sharp",
    query: `(method_declaration body: (_)) @m (constructor_declaration) @m (local_function_statement) @f
(class_declaration) @c (struct_declaration) @c (record_declaration) @c (lambda_expression) @a`
  },
  "C++": {
    file: "cpp",
    query: `(function_definition body: (compound_statement)) @f
(field_declaration_list (function_definition body: (compound_statement)) @w)
(class_specifier body: (_)) @c (struct_specifier body: (_)) @c (lambda_expression) @a`
  },
  C: {
    file: "cpp",
    query: "(function_definition body: (compound_statement)) @f (struct_specifier body: (_)) @c"
  }
}

/** Milliseconds for one text: most take a few, and one that was made to confuse a parser can take for ever. */
const patience = 3_000

/** Children of one error node that a query still gets through in good time: its work grows with their square. */
const maxAstray = 10_000

/** Whether the parser lost its way so thoroughly that a query of the tree would take for ever. */
const isHopeless = (root: Node): boolean => {
  const open = [root]
  for (let seen = 0; seen < 2_000; seen++) {
    const node = open.pop()
    if (node === undefined) return false
    if (node.isError && node.childCount > maxAstray) return true
    for (const child of node.children) if (child?.hasError === true) open.push(child)
  }
  return false
}

export interface DefinitionFinder {
  /** Whether there is a parser for the dialect. */
  readonly knows: (dialect: string) => boolean
  /** Undefined where the text cannot be parsed. */
  readonly find: (dialect: string, source: string) => Promise<Definitions | undefined>
}

export const none: Definitions = { functions: 0, methods: 0, anonymous: 0, classes: 0 }

export const add = (a: Definitions, b: Definitions): Definitions => ({
  functions: a.functions + b.functions,
  methods: a.methods + b.methods,
  anonymous: a.anonymous + b.anonymous,
  classes: a.classes + b.classes
})

interface Ready {
  readonly language: Language
  readonly query: Query
}

export const load = async (): Promise<DefinitionFinder> => {
  const require = createRequire(import.meta.url)
  // A CommonJS file whose exports an import would not see.
  const { Language, Parser, Query }: typeof import("@vscode/tree-sitter-wasm") = require("@vscode/tree-sitter-wasm")
  const directory = dirname(require.resolve("@vscode/tree-sitter-wasm"))
  await Parser.init()
  const parser: Parser = new Parser()
  const ready = new Map<string, Ready>()

  /** Grammars are loaded when the first file asks for them: each costs some milliseconds and megabytes. */
  const get = async (dialect: string): Promise<Ready | undefined> => {
    const found = ready.get(dialect)
    if (found !== undefined) return found
    const grammar = grammars[dialect]
    if (grammar === undefined) return undefined
    const language = await Language.load(readFileSync(join(directory, `tree-sitter-${grammar.file}.wasm`)))
    const made = { language, query: new Query(language, grammar.query) }
    ready.set(dialect, made)
    return made
  }

  return {
    knows: (dialect) => dialect in grammars,
    find: async (dialect, source) => {
      const grammar = await get(dialect)
      if (grammar === undefined) return undefined
      parser.setLanguage(grammar.language)
      const end = performance.now() + patience
      const tree = parser.parse(source, null, { progressCallback: () => performance.now() > end })
      if (tree === null) {
        // It would go on with this text at the next one.
        parser.reset()
        return undefined
      }
      try {
        if (tree.rootNode.hasError && isHopeless(tree.rootNode)) return undefined
        const found = { f: 0, m: 0, a: 0, n: 0, o: 0, w: 0, c: 0 }
        for (const { name } of grammar.query.captures(tree.rootNode)) {
          if (name in found) found[name as keyof typeof found]++
        }
        return {
          // `w` are captured as `f` too, `n` and `o` (those of a class) as `a`.
          functions: found.f + found.m + found.n + found.o,
          methods: found.m + found.w + found.o,
          anonymous: found.a - found.n - found.o,
          classes: found.c
        }
      } finally {
        tree.delete()
      }
    }
  }
}
