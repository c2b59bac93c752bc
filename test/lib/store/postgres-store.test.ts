import { WorkerStore } from '../../../lib/store/worker-store.ts';
import { PostgresDatabases, skipWithoutServer } from './postgres-database.ts';
import { describePublisherQueue } from './queue-contract.ts';
import { describeStatuses } from './status-contract.ts';
import { describeCertificateStore } from './store-contract.ts';

describe('PostgreSQL store', () => {
  const databases = new PostgresDatabases();
  const open = async (name: string) => new WorkerStore(await databases.open(name));
  before(function () {
    this.timeout(10_000);
    return skipWithoutServer(this);
  });
  after(function () {
    this.timeout(60_000);
    return databases.drop();
  });

  describeCertificateStore('PostgreSQL', open);
  describePublisherQueue('PostgreSQL', open);
  describeStatuses('PostgreSQL', open);
});
