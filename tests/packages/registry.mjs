// A registry of npm packages on loopback: what pack.py wrote, and of the platforms that were not packed what the registry would say of them.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { serve } from './place.mjs';

/** Long enough ago for package managers that wait for a version to have some age. */
const PUBLISHED = '2026-01-01T00:00:00.000Z';

/** Starts it. `asked` holds the paths that were asked for. */
export async function registry(packages) {
  const asked = [];
  const files = new Map(packages.npm.map(({ path }) => [basename(path), readFileSync(path)]));
  const manifests = new Map(packages.npm.map(({ path, manifest }) => [manifest.name, { manifest, file: basename(path) }]));
  for (const [name, version] of Object.entries(packages.main.manifest.optionalDependencies)) {
    if (manifests.has(name)) continue;
    const [os, cpu, libc = os === 'linux' ? 'glibc' : undefined] = name.split('/')[1].split('-');
    const manifest = { name, version, os: [os], cpu: [cpu], ...(libc && { libc: [libc] }) };
    manifests.set(name, { manifest, file: `${os}-${cpu}-not-packed.tgz` });
  }
  const server = await serve((request, response) => {
    const path = decodeURIComponent(request.url.slice(1).split('?')[0]);
    asked.push(path);
    const content = files.get(path.replace(/^files\//, ''));
    if (content) return response.end(content);
    const found = manifests.get(path);
    if (!found) return response.writeHead(404).end('{"error":"not found"}');
    const { manifest, file } = found;
    const bytes = files.get(file) ?? Buffer.alloc(0);
    const dist = {
      tarball: `${server.url}/files/${file}`,
      shasum: createHash('sha1').update(bytes).digest('hex'),
      integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    };
    const { name, version } = manifest;
    const document = {
      name,
      'dist-tags': { latest: version },
      versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist } },
      time: { created: PUBLISHED, modified: PUBLISHED, [version]: PUBLISHED },
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
  });
  return { ...server, asked };
}
