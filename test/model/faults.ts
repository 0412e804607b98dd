/**
 * Bugs to plant: each leaves out one rule of the protocol, so that a run without violations means something.
 * The first four are those that the protocol's review named.
 */
export interface Faults {
  /** Append doesn't look whether something before the batch was never taken in. */
  readonly skipRewind?: boolean;
  /** A connection takes itself to be level with what was hinted after any page, whatever the page covers. */
  readonly skipThrough?: boolean;
  /** A live connection sends whatever comes next, without looking at what should precede it. */
  readonly skipPrev?: boolean;
  /** Trims all that was applied, archived or not. */
  readonly trimUnarchived?: boolean;

  /** The bus answers OK for some records that it hasn't got. */
  readonly ackBeforeWrite?: boolean;
  /** Commits what is done, archived or not. */
  readonly commitUnarchived?: boolean;
  /** Numbers pushes by how they were polled, not by where they stand in the bus. */
  readonly numberByBatch?: boolean;
  /** Sends whole pages, also what had its turn. */
  readonly sendWholePages?: boolean;
  /** Takes routes and cursors of sessions that were superseded. */
  readonly skipOwner?: boolean;
  /** Ignores the newest positions that a renewal tells. */
  readonly skipRenewed?: boolean;
  /** A job that has nothing to append doesn't look whether Redis still has what was appended. */
  readonly skipProbe?: boolean;
  /** A renewal knows no newest position of streams whose entries were all archived before Redis was lost. */
  readonly forgetRestored?: boolean;
  /** Reads the database before Redis. */
  readonly databaseFirst?: boolean;
  /** Looks at the floor before it reads, not together with the rows. */
  readonly floorFirst?: boolean;
  /** Forgets message ids by the clock on the wall, not by the accept times of what is read. */
  readonly forgetIdsByClock?: boolean;
  /** Appends whatever the id, known or not. */
  readonly skipIds?: boolean;
  /** Sends what is for one device to all of the user's. */
  readonly skipFilter?: boolean;
  /** Refuses some pushes after the bus took them. */
  readonly refuseAfterWrite?: boolean;
  /** A caller sends its next push before it retries one of unknown outcome. */
  readonly nextBeforeRetry?: boolean;
  /** Of entries with the same collapse key the newest hides all others, whomever it is for. */
  readonly collapseAnyDevice?: boolean;
  /** A push that is dropped by its id takes the place of others all the same. */
  readonly collapseByRepeats?: boolean;
  /** What takes an entry's place may stand where it stands itself. */
  readonly collapseItself?: boolean;
  /** What takes an entry's place may stand within the page without being in it. */
  readonly collapseWithin?: boolean;
  /** Clients know their position only, and no message ids. */
  readonly clientsForgetIds?: boolean;
}
