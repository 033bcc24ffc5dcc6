/** One pre-norm encoder layer over one-hot inputs: the acceptance model of test/cases. */
import { defineSubject } from 'gradproof';
import { EncoderModule } from '../test/cases/encoder.js';

export default defineSubject(() => ({ module: new EncoderModule(), loss: (model) => model.forward() }));
