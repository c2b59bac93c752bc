/**
 * What tests read of a Markdown document: tables, headings, links, code blocks.
 */

/** A row of a table: cell by heading. */
export type TableRow = Readonly<Record<string, string>>;

/** A fenced block of code. */
export interface CodeBlock {
  readonly language: string;
  readonly text: string;
}

const BLOCK = /^```(\w*)\n([\s\S]*?)^```$/gm;

/**
 * The rows of the table that begins with this heading.
 *
 * @throws Error when there is no such table
 */
export function tableOf(markdown: string, firstHeading: string): readonly TableRow[] {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${firstHeading} |`));
  if (start === -1) throw new Error(`There is no table that begins with "${firstHeading}"`);
  const headings = cellsOf(lines[start] ?? '');
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'));
  const rows = length === -1 ? lines.slice(start + 2) : lines.slice(start + 2, start + length);
  return rows.map((line) => {
    const cells = cellsOf(line);
    if (cells.length !== headings.length) throw new Error(`A row has ${cells.length} cells: ${line}`);
    return Object.fromEntries(headings.map((heading, index) => [heading, cells[index] ?? '']));
  });
}

function cellsOf(line: string): readonly string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** What a cell names in code style, in order; a dash names nothing. */
export function codesIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
}

/** Fenced blocks, in order. */
export function codeBlocks(markdown: string): readonly CodeBlock[] {
  return [...markdown.matchAll(BLOCK)].map(([, language = '', text = '']) => ({ language, text }));
}

/** Targets of all links. */
export function linksIn(markdown: string): readonly string[] {
  return [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
}

/** Anchors of all headings, as GitHub makes them. */
export function anchorsOf(markdown: string): readonly string[] {
  const headings = [...withoutCode(markdown).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(BLOCK, '');
}
