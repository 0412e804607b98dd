import type { Profile } from './model/chat.js';
import { midOf, tidyName } from './model/names.js';
import type { Shelf } from './model/shelf.js';

/** The name that the address gives (`?as=bob`), else the one that was chosen in this window, or in this browser before. */
export function knownName(address: URL, window: Shelf, browser: Shelf): string {
  if (address.searchParams.has('as')) return tidyName(address.searchParams.get('as') ?? '');
  return window.read<string>('name') ?? browser.read<string>('name') ?? '';
}

/** Somebody by name, on a device of this window's own: a reload is the same one, two windows are two. */
export function profileOf(name: string, window: Shelf, browser: Shelf): Profile {
  const mid = midOf(name);
  const key = deviceKey(mid);
  const device = window.read<string>(key) ?? `web-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  window.write(key, device);
  window.write('name', name);
  browser.write('name', name);
  return { name, mid, device };
}

/** Makes this window another device from the next load on: a copy of a window has the device of the first one. */
export function forgetDevice(mid: string, window: Shelf): void {
  window.write(deviceKey(mid), undefined);
}

function deviceKey(mid: string): string {
  return `device:${mid}`;
}
