/** The network addresses that a tool may reach: public ones only. */
import ipaddr from "ipaddr.js";

/** The assigned global unicast space (RFC 4291, IANA); all other IPv6 addresses are special or unassigned. */
const IPV6_PUBLIC = ipaddr.parseCIDR("2000::/3");

/**
 * Addresses of clouds that look public and lead to the machine's own cloud: metadata, credentials and services of the
 * platform. Others are link-local, shared or unique-local, and refused with those. README.md has the whole list.
 */
const CLOUD_ADDRESSES = [
  // Azure's wire server: the configuration and secrets of a machine's extensions.
  "168.63.129.16/32",
  // The metadata service of Equinix Metal (Packet).
  "192.80.8.124/32",
  // Services of IBM Cloud inside its network.
  "161.26.0.0/16",
  "166.8.0.0/14",
].map((range) => ipaddr.parseCIDR(range));

/** The end of an IPv6 address with an IPv4 address in it, under any prefix (ISATAP, RFC 5214). */
const ISATAP_PARTS: ReadonlySet<number> = new Set([0x0000, 0x0200]);
const ISATAP_MARK = 0x5efe;

/** Whether an address is public: not private, loopback, link-local (such as cloud metadata), unique-local, shared,
 *  multicast or reserved, not a cloud's own, and not an IPv6 form of an IPv4 address that is translated (mapped, NAT64,
 *  6to4, Teredo, ISATAP). */
export function isPublicAddress(address: string): boolean {
  // A zone names an interface of this machine.
  if (!ipaddr.isValid(address) || address.includes("%")) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast") return false;
  if (parsed instanceof ipaddr.IPv4) return !CLOUD_ADDRESSES.some((range) => parsed.match(range));
  const [, , , , fourth = 0, fifth] = parsed.parts;
  return parsed.match(IPV6_PUBLIC) && !(ISATAP_PARTS.has(fourth) && fifth === ISATAP_MARK);
}
