import { MariadbDeadLetters } from '../dead/mariadb.js';
import { MariadbLedger } from '../ledger/mariadb.js';
import { MariadbReads } from '../reads/mariadb.js';
import { MariadbSchedules } from '../schedule/mariadb.js';
import { MariadbArchive, type MariadbArchiveDeps } from './mariadb.js';

/** The archive in MariaDB, and the stores that use its connections: they serve while it runs. */
export function mariadbStores(deps: MariadbArchiveDeps) {
  const archive = new MariadbArchive(deps);
  return {
    archive,
    reads: new MariadbReads(archive),
    dead: new MariadbDeadLetters(archive),
    schedules: new MariadbSchedules(archive),
    ledger: new MariadbLedger(archive),
  };
}
