// Signs in through mcp-tether at oidc-provider, by three grants, and calls a tool with each bound token.
//
//   node run.mjs --command PATH
//
// The server behind it verifies tokens and proofs with jose, and notes what it was shown.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { EmbeddedJWK, calculateJwkThumbprint, createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { browser } from './visit.mjs';

// Node 20 lacks it, and oidc-provider uses it.
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);
const { default: Provider } = await import('oidc-provider');

const TIME_LIMIT = 60_000;
/** How long a token holds, in seconds: so short that it is refreshed in the middle. */
const TOKEN_SECONDS = 4;
const MACHINE = { client_id: 'machine', client_secret: 'a-secret-of-a-machine-of-the-test' };
const SCOPE = 'tools';

const command = process.argv[process.argv.indexOf('--command') + 1];
if (!process.argv.includes('--command')) throw new Error('usage: node run.mjs --command PATH');
setTimeout(() => fail(`gave up after ${TIME_LIMIT / 1000} s`), TIME_LIMIT).unref();
const here = dirname(fileURLToPath(import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'mcp-tether-oidc-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));

const seen = { proofs: new Set(), keys: new Set(), tokens: new Set(), demands: 0, refusals: [], refreshes: 0 };
const { issuer } = await startProvider();
const server = await startServer();

const grants = [
  { name: 'authorization code', options: [], replacements: 2, keys: 1 },
  { name: 'device code', options: ['--device-code', '--profile', 'device'], replacements: 1, keys: 1 },
  {
    name: 'client credentials',
    options: ['--client-credentials', '--static-oauth-client-info', JSON.stringify(MACHINE)],
    replacements: 1,
    // Each of its tokens is a sign-in of its own.
    keys: 2,
  },
];
for (const { name, options, replacements, keys } of grants) {
  const before = seen.keys.size;
  await converse(name, options, replacements);
  if (seen.keys.size !== before + keys) fail(`${name}: ${seen.keys.size - before} keys instead of ${keys}`);
}
if (seen.refusals.length > 0) fail(seen.refusals.join('\n'));
if (seen.refreshes === 0) fail('no token was refreshed');
if (seen.demands === 0) fail('no nonce was demanded');
console.log(`${seen.proofs.size} proofs, ${seen.keys.size} keys, ${seen.tokens.size} tokens, ${seen.refreshes} refreshes`);
console.log(`${grants.length} grants at oidc-provider, every proof accepted`);
process.exit(0);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

/** Starts a server on a free port; returns it with its address. */
async function listen(handler) {
  const http = createServer(handler);
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  return { http, base: `http://127.0.0.1:${http.address().port}` };
}

async function startProvider() {
  const { http, base } = await listen();
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const key = { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'k' };
  const provider = new Provider(base, {
    jwks: { keys: [key] },
    cookies: { keys: ['a-key-of-the-test'] },
    clients: [
      { ...MACHINE, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], dpop_bound_access_tokens: true },
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    ttl: { AccessToken: TOKEN_SECONDS, ClientCredentials: TOKEN_SECONDS },
    scopes: ['openid', 'offline_access', SCOPE],
    issueRefreshToken: async () => true,
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_, { uid }) => `/agree/${uid}` },
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true, userCodeInputSource: page, userCodeConfirmSource: page, successSource: page },
      revocation: { enabled: true },
      dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, audience) => ({ scope: SCOPE, audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
        useGrantedResource: () => true,
      },
    },
  });
  provider.on('grant.success', ({ oidc }) => (seen.refreshes += oidc.params.grant_type === 'refresh_token' ? 1 : 0));
  provider.on('grant.error', ({ oidc }, error) => {
    const { grant_type } = oidc.params ?? {};
    if (error.error === 'use_dpop_nonce') seen.demands += 1;
    else if (error.error !== 'authorization_pending') seen.refusals.push(`${grant_type}: ${error.error} ${error.error_detail}`);
  });
  provider.on('server_error', (_, error) => seen.refusals.push(error.stack));
  const answer = provider.callback();
  http.on('request', async (request, response) => {
    if (!request.url.startsWith('/agree/')) return answer(request, response);
    await agree(provider, request, response);
  });
  return { issuer: base };

  /** A page without a person: the form of a device is sent by whoever reads the address. */
  function page(context, form) {
    context.body = `<!doctype html>${form ?? ''}`;
  }
}

/** Whoever comes is the same user, and grants what is asked for. */
async function agree(provider, request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'ada' } });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

async function startServer() {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
  // A nonce is good for three seconds, and the next one is named a second after it.
  const nonces = () => [0, 1, 2].map((age) => `n${Math.floor(Date.now() / 1000) - age}`);
  const { base } = await listen(async (request, response) => {
    const send = (status, body, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(body === undefined ? '' : JSON.stringify(body));
    };
    const text = (await request.setEncoding('utf8').toArray()).join('');
    if (request.url.startsWith('/.well-known/oauth-protected-resource')) {
      const dpop = { dpop_bound_access_tokens_required: true, dpop_signing_alg_values_supported: ['ES256'] };
      return send(200, { resource: `${base}/mcp`, authorization_servers: [issuer], scopes_supported: [SCOPE], ...dpop });
    }
    if (request.url !== '/mcp') return send(404);
    const metadata = `resource_metadata="${base}/.well-known/oauth-protected-resource/mcp"`;
    const refuse = (error) => send(401, undefined, { 'www-authenticate': `DPoP ${error}${metadata}`, 'dpop-nonce': nonces()[0] });
    if (!request.headers.authorization) return refuse('');
    try {
      if (!(await isProved(request, base, keys, nonces()))) {
        seen.demands += 1;
        return refuse('error="use_dpop_nonce", ');
      }
    } catch (error) {
      if (error.code === 'ERR_JWT_EXPIRED') return refuse('error="invalid_token", ');
      seen.refusals.push(error.stack);
      return refuse('error="invalid_dpop_proof", ');
    }
    if (request.method !== 'POST') return send(405);
    const { id, method } = JSON.parse(text);
    if (id === undefined) return send(202);
    const opened = { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } };
    return send(200, { jsonrpc: '2.0', id, result: method === 'initialize' ? opened : { content: [] } });
  });
  return { url: `${base}/mcp` };
}

/** Verifies a token, and the proof beside it (RFC 9449, 4.3); returns whether the proof holds the nonce. */
async function isProved(request, base, keys, nonces) {
  const [scheme, token] = request.headers.authorization.split(' ');
  if (scheme !== 'DPoP') throw new Error(`the scheme is ${scheme}`);
  const { payload } = await jwtVerify(token, keys, { issuer, audience: `${base}/mcp` });
  const proof = await jwtVerify(request.headers.dpop, EmbeddedJWK, { typ: 'dpop+jwt', algorithms: ['ES256'], maxTokenAge: '60s' });
  const key = await calculateJwkThumbprint(proof.protectedHeader.jwk);
  const { jti, htm, htu, ath } = proof.payload;
  const expected = createHash('sha256').update(token).digest('base64url');
  if (payload.cnf?.jkt !== key) throw new Error('the token is bound to another key');
  if (htm !== request.method || htu !== `${base}${request.url}` || ath !== expected) throw new Error(`${htm} ${htu} ${ath}`);
  if (seen.proofs.has(jti)) throw new Error('a proof was used twice');
  seen.proofs.add(jti);
  seen.keys.add(key);
  seen.tokens.add(token);
  return nonces.includes(proof.payload.nonce);
}

/** Initializes, and calls a tool until the token has been replaced so often. */
async function converse(name, options, replacements) {
  const program = `"${process.execPath}" "${join(here, 'browser.mjs')}"`;
  const { PATH } = process.env;
  const child = spawn(command, ['--no-cache', ...options, server.url], {
    env: { PATH, HOME: home, XDG_CONFIG_HOME: home, BROWSER: program },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let told = '';
  child.stderr.on('data', (data) => {
    const before = told.length;
    told += data;
    const page = /sign in at (\S+) with the code (\S+)/.exec(told);
    if (page && page.index + page[0].length > before) enterCode(page[1], page[2]).catch((error) => fail(error.stack));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (message) => {
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    if (message.id === undefined) return;
    const { value } = await lines.next();
    if (!value || !JSON.parse(value).result) fail(`${name}: ${value}\n${told}`);
  };
  const clientInfo = { name: 'c', version: '1' };
  await ask({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo } });
  await ask({ method: 'notifications/initialized' });
  const before = seen.tokens.size;
  for (let id = 2; seen.tokens.size < before + replacements; id += 1) {
    await ask({ id, method: 'tools/call', params: { name: 't' } });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.stdin.end();
  await new Promise((resolve) => child.on('close', resolve));
  console.log(`${name}: signed in, ${replacements} more tokens`);
}

/** Enters the code of a device, as a user does in a browser. */
async function enterCode(page, code) {
  const go = browser();
  const hidden = (text) => /name="xsrf" value="([^"]+)"/.exec(text)[1];
  const asked = await go(page);
  const confirmed = await go(page.split('?')[0], { xsrf: hidden(asked), user_code: code });
  await go(page.split('?')[0], { xsrf: hidden(confirmed), user_code: code, confirm: 'yes' });
}
