/**
 * Groups of peers as a text, as EJBCA's Multi Group Publisher takes them: one name per line, an empty line between
 * groups. Each group gets everything, by one of its members.
 */
import { PeerError } from '../errors.ts';

/** A peer connector that was chosen. */
interface Chosen {
  readonly id: string;
  readonly name: string;
}

/**
 * Ids of the members of each group; without a text every peer is a group of its own.
 *
 * @throws PeerError ERR_INVALID_CONFIG unless the text names each chosen peer, and no other, once
 */
export function readGroups(text: string, chosen: readonly Chosen[]): readonly (readonly string[])[] {
  if (text.trim() === '') return chosen.map(({ id }) => [id]);
  const groups = text
    .trim()
    .split(/\n[ \t\r]*\n\s*/)
    .map((part) => part.split('\n').map((line) => line.trim()));
  const used = new Set<string>();
  const ids = groups.map((names) =>
    names.map((name) => {
      const found = chosen.filter((each) => each.id === name || each.name === name);
      const [peer] = found;
      if (peer === undefined)
        throw new PeerError('ERR_INVALID_CONFIG', `The groups name "${name}", which is not chosen`);
      if (found.length > 1) throw new PeerError('ERR_INVALID_CONFIG', `Two of the chosen peers are named "${name}"`);
      if (used.has(peer.id)) throw new PeerError('ERR_INVALID_CONFIG', `The groups name "${name}" twice`);
      used.add(peer.id);
      return peer.id;
    }),
  );
  const left = chosen.find(({ id }) => !used.has(id));
  if (left !== undefined) throw new PeerError('ERR_INVALID_CONFIG', `"${left.name || left.id}" is in no group`);
  return ids;
}
