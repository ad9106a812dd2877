// Addresses as people write them: `host:port`, `[::1]:7400`, `ringhold://a:7400,b:7400`. Nothing is resolved here: a name stays a
// name, so that a cluster survives a change of its DNS.

/** The port a node listens on unless told otherwise. */
export const DEFAULT_PORT = 7400;

/** Most seeds one list may name; a longer one is surely a mistake, and each is dialled. */
export const SEEDS_MAX = 256;

/** A host (name, IPv4, or IPv6 without brackets) and a port from 0 to 65,535. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** The highest port. */
export const PORT_MAX = 65_535;

const ADDRESS = /^(?:\[([0-9A-Fa-f:.]{2,64})\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?$/;

/** Parses `host`, `host:port` or `[ipv6]:port`; without a port it is {@link DEFAULT_PORT}. `undefined` for anything else. */
export function parseAddress(text: string): Address | undefined {
  const match = ADDRESS.exec(text.trim());
  if (match === null) return undefined;
  const port = match[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  return port > PORT_MAX ? undefined : { host: match[1] ?? match[2] ?? "", port };
}

/** `host:port`, an IPv6 host in brackets. */
export function formatAddress(address: Address): string {
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/**
 * Splits a list of seeds: `"a:7400,b:7400"`, `"ringhold://a,b"`, or an array of such texts. Returns `host:port` texts in the
 * order given, without repeats, or the first part that is no address (or more than {@link SEEDS_MAX} of them).
 */
export function parseSeeds(
  input: string | readonly string[],
): { readonly seeds: readonly string[] } | { readonly bad: string } {
  const seeds = new Set<string>();
  for (const text of typeof input === "string" ? [input] : input) {
    const list = text.trim().replace(/^ringhold:\/\//, "");
    for (const part of list.replace(/\/$/, "").split(",")) {
      const address = parseAddress(part);
      if (address === undefined || address.port === 0) return { bad: part };
      seeds.add(formatAddress(address));
      if (seeds.size > SEEDS_MAX) return { bad: `more than ${SEEDS_MAX} addresses` };
    }
  }
  return { seeds: [...seeds] };
}

/** Whether only processes of this machine can reach the host: 127.0.0.0/8, `::1` or `localhost`. */
export function isLoopbackHost(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  const match = /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(host);
  return match?.slice(1).every((part) => Number(part) <= 255) ?? false;
}

const LOGIN = /^(\s*ringholds?:\/\/)([^:@/]+):([^@/]+)@(.*)$/s;

/**
 * The parts of a URL that names a user, `ringhold://user:secret@host`: user and secret as they stand there, percent-encoded, and the URL
 * without them. `undefined` when there are none in it, or not in this form.
 */
export function splitLogin(
  url: string,
): { readonly user: string; readonly secret: string; readonly url: string } | undefined {
  const [, scheme, user, secret, rest] = LOGIN.exec(url) ?? [];
  return user === undefined || secret === undefined ? undefined : { user, secret, url: `${scheme}${rest}` };
}
