// The suite imports globSync from "fs", which Node 20 lacks, for commands that are not used here. This adds it.
import { register } from 'node:module';

const fs = 'data:text/javascript,export*from"node:fs";export{default}from"node:fs";export const globSync=()=>[]';
const hook = `export const resolve = (name, context, next) =>
  name === 'fs' && context.parentURL?.includes('/conformance/')
    ? { url: ${JSON.stringify(fs)}, shortCircuit: true }
    : next(name, context);`;
register('data:text/javascript,' + encodeURIComponent(hook));
