/**
 * Mustache templates of settings: a name without a value is an error, never an empty string.
 */
import mustache from 'mustache';
import { PeerError } from '../errors.ts';

/** How a template is rendered, and how its errors begin. */
export interface TemplateOptions {
  /** What `{{NAME}}` may stand for; undefined = no such name. */
  readonly values: (name: string) => string | undefined;
  /** Applied to `{{NAME}}`, not to `{{{NAME}}}`. Default: nothing. */
  readonly escape?: (value: string) => string;
  /** For the sentence, e.g. `peer URL`. */
  readonly what: string;
}

/**
 * Renders a template.
 *
 * @throws PeerError ERR_INVALID_CONFIG when it is none, or names something without a value
 */
export function renderStrictly(
  template: string,
  { values, escape: escapeValue = String, what }: TemplateOptions,
): string {
  const view: Record<string, string> = {};
  try {
    for (const [kind, name] of mustache.parse(template)) {
      if (kind === 'text') continue;
      const value = kind === 'name' || kind === '&' ? values(name) : undefined;
      if (value === undefined) throw invalid(what, template, `names {{${name}}}, which has no value`);
      view[name] = value;
    }
    return mustache.render(template, view, {}, { escape: escapeValue });
  } catch (cause) {
    if (cause instanceof PeerError) throw cause;
    throw invalid(what, template, 'is not a template');
  }
}

function invalid(what: string, template: string, why: string): PeerError {
  return new PeerError('ERR_INVALID_CONFIG', `The ${what} "${template}" ${why}`);
}
