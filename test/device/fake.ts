/** Opens the device-shaped test backend: memory the host cannot touch, launches that run late on another thread. */
import { fileURLToPath } from 'node:url';
import { loadBackend } from '../../lib/native/runtime.js';

const path = fileURLToPath(new URL('../../build/backends/backend_fake.so', import.meta.url));
let loaded = false;

/** The device's name; loads the backend on first use. */
export function fakeDevice(): string {
  if (!loaded) loadBackend(path);
  loaded = true;
  return 'fake';
}
