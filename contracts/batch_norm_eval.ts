/** The same norms in evaluation mode: batch norm is a map with fixed statistics. */
import { defineSubject } from 'gradproof';
import { made } from './batch_norm.js';

export default defineSubject(() => made(false));
