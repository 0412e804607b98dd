/**
 * Ends the process with an error that leaves it nothing to go on with, as an uncaught one: whoever supervises it starts it
 * again, and then it begins with what there is.
 */
export function exitOnLoss(error: Error): void {
  setImmediate(() => {
    throw error;
  });
}
