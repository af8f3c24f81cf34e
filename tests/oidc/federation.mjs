// Signs in through mcp-tether without a secret: as a workload of a platform, and through a company's identity provider. Both
// authorization servers are oidc-provider; jose verifies every token.
//
//   node federation.mjs --command PATH
//
// What oidc-provider lacks are the grants of RFC 7523 and RFC 8693. They are added here, by its own interface for that.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SignJWT, createRemoteJWKSet, decodeProtectedHeader, exportJWK, generateKeyPair, jwtVerify } from 'jose';

// Node 20 lacks it, and oidc-provider uses it.
URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null);
const { default: Provider, errors } = await import('oidc-provider');

const TIME_LIMIT = 60_000;
/** How long tokens hold, in seconds: an access token is replaced at half of it, an ID token ten seconds before its end. */
const TOKEN_SECONDS = 4;
const ID_TOKEN_SECONDS = 12;
const SCOPE = 'tools';
const BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const WORKLOAD = 'repo:example/tools';
const INITIALIZE = {
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' } },
};

const command = process.argv[process.argv.indexOf('--command') + 1];
if (!process.argv.includes('--command')) throw new Error('usage: node federation.mjs --command PATH');
setTimeout(() => fail(`gave up after ${TIME_LIMIT / 1000} s`), TIME_LIMIT).unref();
const here = dirname(fileURLToPath(import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'mcp-tether-federation-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));

const seen = { tokens: new Set(), assertions: new Set(), refusals: [], pages: 0, refreshes: 0 };
const platform = await startPlatform();
const company = await startCompany();
const authorization = await startAuthorization();
const server = await startServer();
const { base: other } = await listen((_, response) => response.end());

const workload = ['--workload-identity', 'github'];
const info = (client_id) => ['--static-oauth-client-info', JSON.stringify({ client_id })];
const enterprise = ['--enterprise-idp', company, '--enterprise-client-info', JSON.stringify({ client_id: 'desk' })];
await converse('JWT bearer grant of a workload', [...workload, ...info('workload')]);
await converse('client assertion of a workload', [...workload, ...info(WORKLOAD), '--client-credentials']);
await converse('enterprise-managed authorization', [...enterprise, ...info('tether')]);
// Another client of the same user needs no page, and a refresh token has replaced the ID token that expired.
await converse('enterprise-managed authorization again', [...enterprise, ...info('tether'), '--resource', `${server}`]);
await refused('a platform token for another audience', [...workload, ...info('workload'), '--workload-audience', other]);
if (seen.refusals.length > 0) fail(seen.refusals.join('\n'));
if (seen.pages !== 1) fail(`${seen.pages} pages instead of one`);
if (seen.refreshes === 0) fail('no ID token was refreshed');
console.log(`${seen.tokens.size} tokens, ${seen.assertions.size} assertions, ${seen.refreshes} refreshes, ${seen.pages} page`);
console.log('4 conversations without a secret, 1 refusal');
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

async function keyPair() {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const parts = { alg: 'ES256', use: 'sig', kid: randomUUID() };
  return {
    privateKey,
    kid: parts.kid,
    private: { ...(await exportJWK(privateKey)), ...parts },
    public: { ...(await exportJWK(publicKey)), ...parts },
  };
}

/** GitHub Actions: a token for any audience, for a caller with the job's own token. */
async function startPlatform() {
  const keys = await keyPair();
  const { base } = await listen(async (request, response) => {
    const url = new URL(request.url, 'http://platform');
    if (url.pathname === '/jwks') return response.end(JSON.stringify({ keys: [keys.public] }));
    if (request.headers.authorization !== 'Bearer job') return response.writeHead(401).end();
    // As oidc-provider wants the assertion of a client: issued by itself.
    const token = new SignJWT({}).setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: keys.kid });
    token.setIssuer(WORKLOAD).setSubject(WORKLOAD).setAudience(url.searchParams.get('audience'));
    token.setJti(randomUUID()).setIssuedAt().setExpirationTime('2m');
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ value: await token.sign(keys.privateKey) }));
  });
  return { base, public: keys.public, verifies: createRemoteJWKSet(new URL(`${base}/jwks`)) };
}

function watch(provider) {
  provider.on('grant.error', ({ oidc }, error) => {
    seen.refusals.push(`${oidc.params?.grant_type}: ${error.error} ${error.error_description} ${error.error_detail}`);
  });
  provider.on('server_error', (_, error) => seen.refusals.push(error.stack));
}

/** The company's identity provider: signs the user in, and exchanges ID tokens for assertions. */
async function startCompany() {
  const { http, base } = await listen();
  const keys = await keyPair();
  const provider = new Provider(base, {
    jwks: { keys: [keys.private] },
    cookies: { keys: ['a-key-of-the-test'] },
    clients: [
      {
        client_id: 'desk',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', EXCHANGE],
        redirect_uris: ['http://localhost/oauth/callback'],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    ttl: { IdToken: ID_TOKEN_SECONDS },
    issueRefreshToken: async () => true,
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_, { uid }) => `/agree/${uid}` },
    features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
  });
  watch(provider);
  provider.on('grant.success', ({ oidc }) => (seen.refreshes += oidc.params.grant_type === 'refresh_token' ? 1 : 0));
  const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'];
  provider.registerGrantType(EXCHANGE, async (context) => {
    const { params, client } = context.oidc;
    const verified = await jwtVerify(params.subject_token, createRemoteJWKSet(new URL(`${base}/jwks`)), {
      issuer: base,
      audience: client.clientId,
    }).catch((error) => Promise.reject(new errors.InvalidGrant(error.message)));
    if (params.requested_token_type !== ID_JAG) throw new errors.InvalidRequest('another type is wanted');
    const { resource, scope } = params;
    const token = new SignJWT({ client_id: 'tether', resource, scope });
    token.setProtectedHeader({ alg: 'ES256', typ: 'oauth-id-jag+jwt', kid: keys.kid });
    token.setIssuer(base).setSubject(verified.payload.sub).setAudience(params.audience);
    token.setJti(randomUUID()).setIssuedAt().setExpirationTime('1m');
    const access_token = await token.sign(keys.privateKey);
    context.body = { access_token, issued_token_type: ID_JAG, token_type: 'N_A', expires_in: 60 };
  }, parameters);
  const answer = provider.callback();
  http.on('request', async (request, response) => {
    if (!request.url.startsWith('/agree/')) return answer(request, response);
    await agree(provider, request, response);
  });
  return base;
}

/** Every visitor is the same user, who grants what is asked for. */
async function agree(provider, request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    seen.pages += 1;
    return provider.interactionFinished(request, response, { login: { accountId: 'ada' } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '));
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

/** The server's authorization server, which trusts the platform and the company. */
async function startAuthorization() {
  const { http, base } = await listen();
  const keys = await keyPair();
  const info = (_, audience) => ({ scope: SCOPE, audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } });
  const client = (client_id, grant, more) => ({
    client_id,
    grant_types: [grant],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
    ...more,
  });
  const provider = new Provider(base, {
    jwks: { keys: [keys.private] },
    clients: [
      client('workload', BEARER, { token_endpoint_auth_method: 'none' }),
      client('tether', BEARER, { token_endpoint_auth_method: 'none' }),
      client(WORKLOAD, 'client_credentials', {
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [platform.public] },
      }),
    ],
    ttl: { ClientCredentials: TOKEN_SECONDS },
    scopes: [SCOPE],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: info, useGrantedResource: () => true },
    },
  });
  watch(provider);
  const company_keys = createRemoteJWKSet(new URL(`${company}/jwks`));
  provider.registerGrantType(BEARER, async (context) => {
    const { params, client } = context.oidc;
    const is_company = decodeProtectedHeader(params.assertion).typ === 'oauth-id-jag+jwt';
    const verifies = is_company ? company_keys : platform.verifies;
    const issuer = is_company ? company : WORKLOAD;
    const { payload } = await jwtVerify(params.assertion, verifies, { issuer, audience: base }).catch((error) =>
      Promise.reject(new errors.InvalidGrant(error.message)),
    );
    if (seen.assertions.has(payload.jti)) throw new errors.InvalidGrant('an assertion was used twice');
    seen.assertions.add(payload.jti);
    if (is_company && (payload.client_id !== client.clientId || payload.resource !== params.resource)) {
      throw new errors.InvalidGrant('the assertion is for another client or server');
    }
    const token = new provider.ClientCredentials({ client, scope: SCOPE });
    token.resourceServer = new provider.ResourceServer(params.resource, info(context, params.resource));
    const access_token = await token.save();
    context.body = { access_token, expires_in: token.expiration, token_type: token.tokenType, scope: SCOPE };
  }, ['assertion', 'resource', 'scope']);
  http.on('request', provider.callback());
  return base;
}

async function startServer() {
  const keys = createRemoteJWKSet(new URL(`${authorization}/jwks`));
  const { base } = await listen(async (request, response) => {
    const send = (status, body, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(body === undefined ? '' : JSON.stringify(body));
    };
    const text = (await request.setEncoding('utf8').toArray()).join('');
    if (request.url.startsWith('/.well-known/oauth-protected-resource')) {
      return send(200, { resource: `${base}/mcp`, authorization_servers: [authorization], scopes_supported: [SCOPE] });
    }
    if (request.url !== '/mcp') return send(404);
    const token = request.headers.authorization?.replace('Bearer ', '');
    try {
      await jwtVerify(token ?? '', keys, { issuer: authorization, audience: `${base}/mcp` });
      seen.tokens.add(token);
    } catch {
      const metadata = `${base}/.well-known/oauth-protected-resource/mcp`;
      return send(401, undefined, { 'www-authenticate': `Bearer resource_metadata="${metadata}"` });
    }
    if (request.method !== 'POST') return send(405);
    const { id, method } = JSON.parse(text);
    if (id === undefined) return send(202);
    const opened = { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } };
    return send(200, { jsonrpc: '2.0', id, result: method === 'initialize' ? opened : { content: [] } });
  });
  return `${base}/mcp`;
}

function start(options) {
  const { PATH } = process.env;
  const child = spawn(command, ['--no-cache', ...options, server], {
    env: {
      PATH,
      HOME: home,
      XDG_CONFIG_HOME: home,
      BROWSER: `"${process.execPath}" "${join(here, 'browser.mjs')}"`,
      ACTIONS_ID_TOKEN_REQUEST_URL: `${platform.base}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'job',
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let told = '';
  child.stderr.on('data', (data) => (told += data));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (message) => {
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    return message.id === undefined ? undefined : JSON.parse((await lines.next()).value ?? '{}');
  };
  const end = async () => {
    child.stdin.end();
    await new Promise((resolve) => child.on('close', resolve));
  };
  return { ask, end, told: () => told };
}

/** Initializes, and calls a tool until the token has been replaced twice. */
async function converse(name, options) {
  const { ask, end, told } = start(options);
  const asked = async (message) => {
    const answer = await ask(message);
    if (answer && !answer.result) fail(`${name}: ${JSON.stringify(answer)}\n${told()}\n${seen.refusals.join('\n')}`);
  };
  await asked(INITIALIZE);
  await asked({ method: 'notifications/initialized' });
  const before = seen.tokens.size;
  for (let id = 2; seen.tokens.size < before + 2; id += 1) {
    await asked({ id, method: 'tools/call', params: { name: 't' } });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await end();
  console.log(`${name}: signed in, and renewed twice`);
}

/** Initializes, and hears of an error that nothing was sent for. */
async function refused(name, options) {
  const { ask, end } = start(options);
  const before = seen.assertions.size;
  const { error } = await ask(INITIALIZE);
  await end();
  if (!error?.message.includes('is not sent to') || seen.assertions.size !== before) {
    fail(`${name}: ${JSON.stringify(error)}`);
  }
  console.log(`${name}: not sent`);
}
