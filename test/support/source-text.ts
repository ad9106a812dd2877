// Just enough of a TypeScript scanner for rules about source text: it blanks what is not code, position by position, so that
// a match in the code can be looked up in the original. (TypeScript 7 has no compiler API to ask.)
//
// Known limit: a regular expression is told from a division by the character or word before it, which is right for code as
// a formatter leaves it.

/** A source file in three forms of equal length; offsets mean the same place in all. */
export interface SourceText {
  readonly text: string;
  /** Comments blanked. */
  readonly withoutComments: string;
  /** Comments and the contents of strings, templates and regular expressions blanked; their quotes stay. */
  readonly code: string;
}

/** One `import`, `export ... from` or `import()` of a file. */
export interface ImportReference {
  /** As written; `undefined` when it is no plain string. */
  readonly specifier: string | undefined;
  readonly offset: number;
}

type Kind = "code" | "comment" | "text";

export function scanSource(text: string): SourceText {
  const kinds = classify(text);
  const keep = (wanted: (kind: Kind) => boolean): string =>
    Array.from({ length: text.length }, (_, index) => {
      const char = text[index]!;
      return char === "\n" || wanted(kinds[index]!) ? char : " ";
    }).join("");
  return {
    text,
    withoutComments: keep((kind) => kind !== "comment"),
    code: keep((kind) => kind === "code"),
  };
}

/** Everything the file imports or re-exports, types included. */
export function findImports({ text, code }: SourceText): ImportReference[] {
  const references: ImportReference[] = [];
  const statements = /\b(?:from|import)\s*(?=["'])|\b(?:import|require)\s*\(\s*(?=(.))/g;
  for (const match of code.matchAll(statements)) {
    const start = match.index + match[0].length;
    const quote = text[start];
    const isPlain = quote === '"' || quote === "'";
    const end = isPlain ? text.indexOf(quote, start + 1) : -1;
    references.push({ specifier: isPlain ? text.slice(start + 1, end) : undefined, offset: match.index });
  }
  return references;
}

/** The line of an offset, from 1. */
export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

function classify(text: string): Kind[] {
  const kinds = new Array<Kind>(text.length).fill("code");
  const mark = (start: number, end: number, kind: Kind): void => {
    kinds.fill(kind, start, Math.min(end, text.length));
  };
  // One entry per template we are inside of: how many braces are open in its present `${}`.
  const templates: number[] = [];
  let index = 0;
  const templateEnd = (start: number): number => {
    let end = start;
    while (end < text.length && text[end] !== "`" && !text.startsWith("${", end))
      end += text[end] === "\\" ? 2 : 1;
    return end;
  };
  const enterTemplateText = (start: number): void => {
    const end = templateEnd(start);
    mark(start, end, "text");
    if (text[end] === "`") templates.pop();
    index = end + (text[end] === "`" ? 1 : 2);
  };
  while (index < text.length) {
    const char = text[index]!;
    const open = templates.length - 1;
    if (text.startsWith("//", index) || (index === 0 && text.startsWith("#!"))) {
      const end = endOr(text.indexOf("\n", index), text.length);
      mark(index, end, "comment");
      index = end;
    } else if (text.startsWith("/*", index)) {
      const end = endOr(text.indexOf("*/", index + 2), text.length) + 2;
      mark(index, end, "comment");
      index = end;
    } else if (char === '"' || char === "'") {
      const end = stringEnd(text, index + 1, char);
      mark(index + 1, end, "text");
      index = end + 1;
    } else if (char === "`") {
      templates.push(0);
      enterTemplateText(index + 1);
    } else if (char === "}" && open >= 0 && templates[open] === 0) {
      enterTemplateText(index + 1);
    } else if (char === "/" && startsRegex(text, kinds, index)) {
      const end = regexEnd(text, index + 1);
      mark(index + 1, end, "text");
      index = end + 1;
    } else {
      if (open >= 0 && char === "{") templates[open]! += 1;
      if (open >= 0 && char === "}") templates[open]! -= 1;
      index++;
    }
  }
  return kinds;
}

function endOr(found: number, otherwise: number): number {
  return found === -1 ? otherwise : found;
}

function stringEnd(text: string, start: number, quote: string): number {
  let end = start;
  while (end < text.length && text[end] !== quote && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
  return end;
}

function regexEnd(text: string, start: number): number {
  let end = start;
  let isInClass = false;
  while (end < text.length && text[end] !== "\n" && (isInClass || text[end] !== "/")) {
    if (text[end] === "[") isInClass = true;
    if (text[end] === "]") isInClass = false;
    end += text[end] === "\\" ? 2 : 1;
  }
  return end;
}

function startsRegex(text: string, kinds: readonly Kind[], index: number): boolean {
  let before = index - 1;
  while (before >= 0 && (kinds[before] === "comment" || /\s/.test(text[before]!))) before--;
  if (before < 0) return true;
  const word = /[\w$]+$/.exec(text.slice(Math.max(0, before - 12), before + 1))?.[0];
  if (word !== undefined)
    return ["return", "typeof", "case", "in", "of", "do", "else", "void", "delete"].includes(word);
  return !/[)\]}"'`]/.test(text[before]!);
}
