/**
 * The example flows of this package.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FlowNode, PACKAGE_ROOT } from './node-red.ts';

const FOLDER = join(PACKAGE_ROOT, 'examples');

/** File names, in learning order. */
export function exampleFiles(): readonly string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .sort();
}

/** The nodes of one example, credentials inside them. */
export function readExample(file: string): readonly FlowNode[] {
  return JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as FlowNode[];
}
