/** What can become of a push instead of being delivered. */
export type ExceptionKind =
  /** Its time had passed before its turn came. */
  | 'expired'
  /** It was not sent to somebody who should have had it, or a newer one took its place. */
  | 'dropped'
  /** It was put aside in halley-dead. */
  | 'dead'
  /** It was not accepted. */
  | 'refused';

/** That a push, or a part of it, did not come to somebody, and why. */
export interface PushException {
  /** The push's id; one that has none cannot be asked for, and is not kept. */
  readonly id: string;
  /** Who pushed it; absent is empty: nobody, where no API key is required. */
  readonly caller?: string | undefined;
  readonly kind: ExceptionKind;
  /** Why, as the metric that counts it calls it: `room_slow`, `backlog`, an error's code. */
  readonly reason: string;
  /** Where it stands or should have: `u/…`, `r/…` or `all`; absent where that is not known. */
  readonly stream?: string | undefined;
  /** Where it stands in the stream; absent of what is not kept. */
  readonly position?: number | undefined;
  /** The device, where it is about one. */
  readonly key?: string | undefined;
  /** Some of the devices, where it is about several. */
  readonly keys?: readonly string[] | undefined;
  /** Of how many devices, or of how many entries where there is no device. Default 1. */
  readonly count?: number | undefined;
}

/** Takes what went wrong with pushes, for who asks what became of them. */
export interface Exceptions {
  /** Never throws, never waits: what cannot be kept is counted as lost. Cheap enough for each device of a fan-out. */
  tell(exception: PushException): void;
}

/** Keeps nothing. */
export const NO_EXCEPTIONS: Exceptions = { tell: () => undefined };
