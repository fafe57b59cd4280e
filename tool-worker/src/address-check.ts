/** The network addresses that a tool may reach: public ones only. */
import ipaddr from "ipaddr.js";

/** The assigned global unicast space (RFC 4291, IANA); all other IPv6 addresses are special or unassigned. */
const IPV6_PUBLIC = ipaddr.parseCIDR("2000::/3");

/** Whether an address is public: not private, loopback, link-local (such as cloud metadata), unique-local, shared,
 *  multicast or reserved, and not an IPv6 form of an IPv4 address that is translated (mapped, NAT64, 6to4, Teredo). */
export function isPublicAddress(address: string): boolean {
  // A zone names an interface of this machine.
  if (!ipaddr.isValid(address) || address.includes("%")) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast") return false;
  return parsed.kind() === "ipv4" || parsed.match(IPV6_PUBLIC);
}
