/** How much of each there is: as little as shows everything. */
export const JOBS = 2;
export const COMETS = 2;
export const SENDERS = 2;
