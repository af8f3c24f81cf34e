// A browser with cookies that follows every redirect.

/** Returns a function that goes to an address, with a form if there is one, and returns the text of the last page. */
export function browser() {
  const jar = new Map();
  return async function go(address, form, hops = 0) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(address, {
      method: form ? 'POST' : 'GET',
      body: form && new URLSearchParams(form),
      redirect: 'manual',
      headers: cookie ? { cookie } : {},
    });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(';');
      const at = pair.indexOf('=');
      jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const next = answer.headers.get('location');
    if (next && hops < 12) return go(new URL(next, address).href, undefined, hops + 1);
    return answer.text();
  };
}
