// The browser of somebody who agrees to everything at once: follows an address to wherever it leads.
import { browser } from './visit.mjs';

await browser()(process.argv.at(-1));
