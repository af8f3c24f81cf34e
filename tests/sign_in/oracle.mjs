// Signs in with the official TypeScript client, and prints `done` or why it refused.
// Arguments: the folder with its package, the server's URL, the challenge of the server, and, if there is one, a client metadata URL.
import { createRequire } from 'node:module';
import path from 'node:path';

const [folder, serverUrl, challenge, clientMetadataUrl] = process.argv.slice(2);
const { auth, extractWWWAuthenticateParams } = createRequire(path.join(folder, 'package.json'))('@modelcontextprotocol/client');

const stored = {};
let page;
const provider = {
  redirectUrl: 'http://localhost:1/callback',
  clientMetadataUrl,
  clientMetadata: {
    client_name: 'oracle',
    redirect_uris: ['http://localhost:1/callback'],
    grant_types: ['authorization_code', 'refresh_token'],
  },
  state: () => 'a-state',
  clientInformation: () => stored.client,
  saveClientInformation: (client) => { stored.client = client; },
  tokens: () => stored.tokens,
  saveTokens: (tokens) => { stored.tokens = tokens; },
  redirectToAuthorization: (url) => { page = url; },
  saveCodeVerifier: (verifier) => { stored.verifier = verifier; },
  codeVerifier: () => stored.verifier,
  saveDiscoveryState: (state) => { stored.discovery = state; },
  discoveryState: () => stored.discovery,
};
try {
  const headers = { 'www-authenticate': challenge };
  const { resourceMetadataUrl, scope } = extractWWWAuthenticateParams(new Response(null, { status: 401, headers }));
  await auth(provider, { serverUrl, resourceMetadataUrl, scope });
  const answer = await fetch(page, { redirect: 'manual' });
  const back = new URL(answer.headers.get('location')).searchParams;
  const iss = back.get('iss') ?? undefined;
  await auth(provider, { serverUrl, resourceMetadataUrl, scope, authorizationCode: back.get('code'), iss });
  console.log(stored.tokens ? 'done' : 'no tokens');
} catch (error) {
  console.log(`refused: ${error.message}`);
}
