/** A plain value or the promise of one. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Where a client keeps its cursors, and its send queue where that is asked for: texts under keys. One store is one
 * device's: two clients that are open at the same time must not share it.
 */
export interface CursorStore {
  /** All that is kept, in the order of their first `set`. Called once, ahead of any `set`. */
  load(): MaybePromise<ReadonlyMap<string, string>>;
  /**
   * Keeps the value under the key, undefined removes it. When it is done the value is what `load` answers after a crash of
   * the process. A call may come while another is not done; of two with one key the later one counts.
   */
  set(key: string, value: string | undefined): MaybePromise<void>;
}
