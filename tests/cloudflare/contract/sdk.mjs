// The official SDK with the stand-in for the API: it parses every answer, and finds in it what the documentation promises.
import Cloudflare, { ConflictError, PermissionDeniedError } from "cloudflare";
import assert from "node:assert/strict";

const [baseURL, apiToken, account_id, domain] = process.argv.slice(2);
const client = new Cloudflare({ baseURL, apiToken, maxRetries: 0 });
const { serviceTokens, policies, applications, organizations } = client.zeroTrust.access
  ? { ...client.zeroTrust.access, organizations: client.zeroTrust.organizations }
  : {};
const all = async (page) => {
  const found = [];
  for await (const item of page) found.push(item);
  return found;
};

const zones = await all(client.zones.list({ name: domain }));
assert.equal(zones[0].name, domain);
assert.equal(zones[0].account.id, account_id);
assert.ok((await organizations.list({ account_id })).auth_domain);

const token = await serviceTokens.create({ account_id, name: "sdk", duration: "8760h" });
assert.match(token.client_id, /\.access$/);
assert.match(token.client_secret, /^cfast_/);
const listed = await all(serviceTokens.list({ account_id }));
assert.deepEqual(listed.map((found) => found.id), [token.id]);
assert.equal(listed[0].client_secret, undefined);
const rotated = await serviceTokens.rotate(token.id, { account_id });
assert.equal(rotated.client_id, token.client_id);
assert.notEqual(rotated.client_secret, token.client_secret);
assert.ok((await serviceTokens.refresh(token.id, { account_id })).expires_at);

const policy = await policies.create({
  account_id, name: "sdk", decision: "non_identity", include: [{ service_token: { token_id: token.id } }],
});
assert.equal(policy.reusable, true);
assert.equal((await all(policies.list({ account_id }))).length, 1);
const body = { account_id, type: "self_hosted", name: "sdk", domain, policies: [{ id: policy.id, precedence: 1 }] };
const application = await applications.create(body);
assert.equal(application.policies[0].id, policy.id);
assert.equal(application.aud.length, 64);
await assert.rejects(applications.create(body), ConflictError);
await assert.rejects(policies.delete(policy.id, { account_id }), ConflictError);
await assert.rejects(serviceTokens.delete(token.id, { account_id }), /12139/);
await assert.rejects(
  new Cloudflare({ baseURL, apiToken, maxRetries: 0 }).zeroTrust.access.serviceTokens.list({ account_id: "0".repeat(32) }),
  PermissionDeniedError,
);
await applications.update(application.id, { ...body, name: "sdk 2", policies: [] });
assert.equal((await applications.get(application.id, { account_id })).name, "sdk 2");
await applications.delete(application.id, { account_id });
await policies.delete(policy.id, { account_id });
await serviceTokens.delete(token.id, { account_id });
console.log("the official SDK understands every answer");
