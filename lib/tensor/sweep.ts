/** Memory sweeps for the rooms that never see lib/native. */
export { collectIfDue } from '../native/memory.js';
