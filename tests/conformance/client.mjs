// A local client, as the suite starts it: the official client, of either era, with mcp-tether as its stdio
// server. It does what a thorough client does: lists everything and uses everything it listed.
import { createHash } from 'node:crypto';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const url = process.argv.at(-1);
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT || '{}');
const client = new Client(
  { name: 'conformance-client', version: '1.0.0' },
  {
    capabilities: { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: {} },
    versionNegotiation: { mode: process.env.CLIENT_ERA === 'modern' ? { pin: '2026-07-28' } : 'legacy' },
  },
);
client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { confirmed: true } }));
client.setRequestHandler('sampling/createMessage', () => ({
  role: 'assistant',
  model: 'none',
  content: { type: 'text', text: 'an answer' },
}));
client.setRequestHandler('roots/list', () => ({ roots: [] }));
const options = process.env.MCP_TETHER_OPTIONS.split(' ').filter(Boolean);
if (context.client_id) {
  const { client_id, client_secret, private_key_pem: private_key } = context;
  const token_endpoint_auth_signing_alg = context.signing_algorithm;
  const info = { client_id, client_secret, private_key, token_endpoint_auth_signing_alg };
  options.push('--static-oauth-client-info', JSON.stringify(info));
}
if (context.idp_issuer) {
  options.push('--enterprise-idp', context.idp_issuer);
  options.push('--enterprise-client-info', JSON.stringify({ client_id: context.idp_client_id }));
}
// A stdio client passes little of its environment on.
const { PATH, HOME, XDG_CONFIG_HOME, BROWSER } = process.env;
const given = { PLATFORM_TOKEN: context.valid_jwt, COMPANY_TOKEN: context.idp_id_token };
const env = Object.fromEntries(
  Object.entries({ PATH, HOME, XDG_CONFIG_HOME, BROWSER, ...given }).filter(([, value]) => value),
);
const args = ['--no-cache', ...options, url];
await client.connect(new StdioClientTransport({ command: process.env.MCP_TETHER, args, env }));

const { tools } = await client.listTools();
await attempt('prompts', async () => {
  for (const prompt of (await client.listPrompts()).prompts) await client.getPrompt({ name: prompt.name });
});
await attempt('resources', async () => {
  for (const resource of (await client.listResources()).resources) await client.readResource({ uri: resource.uri });
});
for (const call of context.toolCalls ?? tools.map((tool) => ({ name: tool.name, arguments: argumentsFor(tool) }))) {
  await attempt(`tools/call ${call.name}`, () => client.callTool(call));
}
if (client.getServerCapabilities()?.extensions?.['io.modelcontextprotocol/skills']) await useSkills();
await client.close();

/**
 * Lists the skills, and loads the one that the scenario is about, as a host does that verifies what it reads (SEP-2640). It
 * goes on to the file that gives a careless host away unless the text differs from its entry in exactly what the scenario
 * has changed: so it also notices where mcp-tether changes anything.
 */
async function useSkills() {
  const untyped = { '~standard': { version: 1, vendor: 'none', validate: (value) => ({ value }) } };
  const { skills } = await client.request({ method: 'skills/list', params: {} }, untyped);
  const changed = process.env.SKILL_LOADED;
  if (!changed) return;
  for (const skill of skills) {
    const [file, other] = skill.resources;
    const { text } = (await client.readResource({ uri: file.uri })).contents[0];
    const named = Object.entries(skill.frontmatter).every(([name, value]) => text.includes(`\n${name}: ${value}\n`));
    const differs = {
      size: Buffer.byteLength(text) !== file.size,
      digest: `sha256:${createHash('sha256').update(text, 'utf8').digest('hex')}` !== file.digest,
      frontmatter: !named,
    };
    // Another size is another digest.
    const expected = { size: ['size', 'digest'], digest: ['digest'], frontmatter: ['frontmatter'] }[changed];
    const found = Object.keys(differs).filter((part) => differs[part]);
    if (found.join() !== expected.join()) await client.readResource({ uri: other.uri });
  }
}

/** Arguments that fit a tool's schema; one tool of the suite wants another's schema back as the client saw it. */
function argumentsFor(tool) {
  if (tool.name === 'json_schema_echo') {
    return { schema: tools.find((other) => other.name === 'json_schema_2020_12_tool').inputSchema };
  }
  return valueFor(tool.inputSchema);
}

function valueFor(schema) {
  if (schema.type === 'object') {
    return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, part]) => [name, valueFor(part)]));
  }
  return schema.enum?.[0] ?? { string: 'text', integer: 5, number: 5, boolean: true, array: [] }[schema.type] ?? null;
}

/** Refusals are the suite's to judge; they must not keep the client from the rest. */
async function attempt(what, action) {
  try {
    await action();
  } catch (error) {
    console.error(`${what}: ${error.message}`);
  }
}
