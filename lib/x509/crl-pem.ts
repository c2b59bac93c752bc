/** A CRL in PEM (RFC 7468), piece by piece: it may be larger than anything one would hold as text. */
import { PeerError } from '../errors.ts';

const BEGIN = /-----BEGIN (?:X509 )?CRL-----/;
/** How far into a file the block may begin. */
const MAX_PREAMBLE = 64 * 1024;
const END = '-----END ';

/** Whether bytes that should be a CRL are DER; what is not is taken for PEM. */
export function isDer(bytes: Uint8Array): boolean {
  return bytes[0] === 0x30;
}

/**
 * DER of the first CRL in PEM text.
 *
 * @param pieces the text, cut anywhere
 * @throws PeerError ERR_INVALID_CRL when there is none, or it is not complete or not base64
 */
export function* decodeCrlPem(pieces: Iterable<Uint8Array>): Generator<Buffer> {
  const decoder = new CrlPemDecoder();
  for (const piece of pieces) {
    const der = decoder.push(piece);
    if (der.length > 0) yield der;
  }
  decoder.end();
}

/** The same for pieces that come one by one. Call `end` after the last. */
export class CrlPemDecoder {
  #state: 'before' | 'within' | 'after' = 'before';
  #rest = '';

  /** The DER that this piece completes. */
  push(piece: Uint8Array): Buffer {
    const text = this.#rest + Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('latin1');
    this.#rest = '';
    if (this.#state === 'after') return NOTHING;
    return this.#state === 'before' ? this.#begin(text) : this.#decode(text);
  }

  /** @throws PeerError ERR_INVALID_CRL */
  end(): void {
    if (this.#state === 'before') throw invalid('There is no PEM CRL in the text');
    if (this.#state === 'within') throw invalid('The PEM block X509 CRL has no end');
  }

  #begin(text: string): Buffer {
    const match = BEGIN.exec(text);
    if (match === null) {
      if (text.length > MAX_PREAMBLE) throw invalid('There is no PEM CRL in the text');
      this.#rest = text;
      return NOTHING;
    }
    this.#state = 'within';
    return this.#decode(text.slice(match.index + match[0].length));
  }

  #decode(text: string): Buffer {
    const dash = text.indexOf('-');
    const isEnd = dash !== -1;
    const base64 = (isEnd ? text.slice(0, dash) : text).replaceAll(/\s+/g, '');
    // Three octets are four characters; what is left over waits for the next piece.
    const whole = isEnd ? base64.length : base64.length - (base64.length % 4);
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64) || (isEnd && base64.length % 4 !== 0))
      throw invalid('The PEM block X509 CRL is not base64');
    if (isEnd && text.length - dash >= END.length) {
      if (!text.startsWith(END, dash)) throw invalid('The PEM block X509 CRL is not base64');
      this.#state = 'after';
    }
    this.#rest = base64.slice(whole) + (isEnd && this.#state === 'within' ? text.slice(dash) : '');
    return Buffer.from(base64.slice(0, whole), 'base64');
  }
}

const NOTHING = Buffer.alloc(0);

function invalid(detail: string): PeerError {
  return new PeerError('ERR_INVALID_CRL', detail);
}
