/** What a command is, and the codes it ends with. */
import type { Args, CommandSpec } from './args.js';

export const Exit = {
  /** Everything held. */
  Held: 0,
  /** A check was red, or the work failed. */
  Failed: 1,
  /** The command line was wrong. */
  Usage: 2,
  /** The addon, a backend or a device is missing. */
  CouldNotRun: 3,
  /** Stopped by Ctrl-C, everything saved: 128 + SIGINT, as shells have it. */
  Interrupted: 130,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** Whether this process is the command line itself, and not a test that calls it. */
export const program = { running: false };

export interface Command {
  readonly spec: CommandSpec;
  run(args: Args): Promise<Exit>;
}
