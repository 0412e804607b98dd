import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Told the groups to end on its standard input; that closes when this process is gone, however it went. Signals are
 * left to us, so that nothing but our end sets it off.
 */
const SCRIPT = `
trap '' INT TERM HUP
groups=
while read -r verb group; do
  case $verb in
    add) groups="$groups $group" ;;
    drop)
      rest=
      for one in $groups; do [ "$one" = "$group" ] || rest="$rest $one"; done
      groups=$rest ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done 2>/dev/null
`;

let watchdog: ChildProcess | undefined;

/** Has the process group killed when this process ends without dropping it. Resolves once the watchdog has been told. */
export function guardGroup(group: number): Promise<void> {
  return tell(`add ${group}`);
}

/** The group has ended: its number may soon be another's. */
export function dropGroup(group: number): void {
  tell(`drop ${group}`).catch(() => {
    // The watchdog is gone and can kill nobody.
  });
}

function tell(line: string): Promise<void> {
  watchdog ??= start();
  const input = watchdog.stdin;
  return new Promise((resolve, reject) => {
    if (!input) return reject(new Error('The watchdog has no input.'));
    input.write(`${line}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

function start(): ChildProcess {
  const child = spawn('/bin/sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  child.on('exit', () => {
    if (watchdog === child) watchdog = undefined;
  });
  child.on('error', () => {});
  child.stdin.on('error', () => {});
  // Neither keeps this process alive.
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}
