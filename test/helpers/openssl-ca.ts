/**
 * A CA that is `openssl ca` itself, in a directory as its manual describes it.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CONFIG = (folder: string) => `
[ca]
default_ca = this
[this]
dir = ${folder}
database = $dir/index.txt
new_certs_dir = $dir/newcerts
certificate = $dir/cacert.pem
private_key = $dir/cakey.pem
serial = $dir/serial
crlnumber = $dir/crlnumber
default_md = sha256
default_days = 30
default_crl_days = 7
unique_subject = no
policy = any
[any]
commonName = supplied
[req]
distinguished_name = none
prompt = no
[none]
CN = unused
[ca_extensions]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
`;

/** Whether there is an openssl to run. */
export function hasOpenssl(): boolean {
  return spawnSync('openssl', ['version'], { timeout: 10_000 }).status === 0;
}

/** The directory of such a CA; `make` begins it, and what follows is done by openssl. */
export class OpensslCa {
  readonly folder: string;
  readonly index: string;
  readonly newcerts: string;

  constructor(folder: string) {
    this.folder = folder;
    this.index = join(folder, 'index.txt');
    this.newcerts = join(folder, 'newcerts');
  }

  /** @param commonName of the CA */
  make(commonName: string): this {
    mkdirSync(this.newcerts, { recursive: true });
    writeFileSync(this.index, '');
    writeFileSync(join(this.folder, 'openssl.cnf'), CONFIG(this.folder));
    for (const name of ['serial', 'crlnumber']) writeFileSync(join(this.folder, name), '1000\n');
    const key = join(this.folder, 'cakey.pem');
    this.#run('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key);
    const subject = ['-subj', `/CN=${commonName}`, '-days', '365', '-extensions', 'ca_extensions'];
    this.#run(
      'req',
      '-x509',
      '-new',
      '-key',
      key,
      ...subject,
      '-config',
      this.#config,
      '-out',
      this.#path('cacert.pem'),
    );
    return this;
  }

  /** Issues a certificate; gives its serial number as the index has it. */
  issue(commonName: string): string {
    const [key, csr] = [this.#path('user.key'), this.#path('user.csr')];
    this.#run('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key);
    this.#run('req', '-new', '-key', key, '-subj', `/CN=${commonName}`, '-config', this.#config, '-out', csr);
    this.#run('ca', '-batch', '-config', this.#config, '-in', csr, '-out', this.#path('user.pem'));
    return readFileSync(this.index, 'utf8').trimEnd().split('\n').at(-1)?.split('\t')[3] ?? '';
  }

  /** @param how more options, such as `-crl_reason keyCompromise` */
  revoke(serialNumber: string, ...how: readonly string[]): void {
    this.#run('ca', '-config', this.#config, '-revoke', join(this.newcerts, `${serialNumber}.pem`), ...how);
  }

  /** Issues a CRL; it is in `crl.pem` at once or not at all. */
  issueCrl(): Buffer {
    this.#run('ca', '-config', this.#config, '-gencrl', '-out', this.#path('crl.new'));
    renameSync(this.#path('crl.new'), this.#path('crl.pem'));
    return readFileSync(this.#path('crl.pem'));
  }

  get #config(): string {
    return this.#path('openssl.cnf');
  }

  #path(name: string): string {
    return join(this.folder, name);
  }

  #run(...args: readonly string[]): void {
    const { status, stderr } = spawnSync('openssl', args, { cwd: this.folder, encoding: 'utf8', timeout: 20_000 });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  }
}
