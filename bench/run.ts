/**
 * `npm run bench -- NAME`: measures both sides of each ratio in one run, alternating, prints a table
 * a person can read and, last, one line of JSON.
 */

import { readdirSync } from 'node:fs';
import { cpus } from 'node:os';

interface Benchmark {
  /** Measures; prints its table; gives the ratios. */
  readonly run: () => Promise<Record<string, number>>;
}

const names = readdirSync(new URL('./', import.meta.url))
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.slice(0, -'.bench.ts'.length));

const [name] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  console.error(`Name a benchmark: ${names.join(', ')}`);
  process.exit(2);
}

const cpu = cpus();
console.log(
  `${name}: Node ${process.versions.node}, OpenSSL ${process.versions.openssl}, ${cpu.length} x ${cpu[0]?.model}`,
);
const { run } = (await import(`./${name}.bench.ts`)) as Benchmark;
const ratios = await run();
const rounded = Object.fromEntries(Object.entries(ratios).map(([key, value]) => [key, Number(value.toPrecision(4))]));
console.log(JSON.stringify({ bench: name, ...rounded }));
process.exit(0);
